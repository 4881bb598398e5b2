// Configuration values in; out comes one complete, frozen value, or every mistake in a sentence.

import { deepStrictEqual as same, ok, strictEqual as equal, throws } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import * as pulumi from "@pulumi/pulumi";
import fc from "fast-check";
import { parse } from "yaml";

import { parseConfig, readConfig } from "../config.ts";
import { hours } from "../vocabulary/durations.ts";

const checkout = resolve(import.meta.dirname, "..");
const trustDomain = "dev.example.internal";

/** What a configuration with nothing but the trust domain amounts to. */
const defaults = {
  trustDomain,
  namespace: "mtls",
  createNamespace: true,
  readyTimeout: "5m",
  certManager: {
    install: true,
    version: "v1.21.2",
    namespace: "cert-manager",
    chart: "oci://quay.io/jetstack/charts/cert-manager",
    keepCrds: true,
    approver: {
      install: true,
      version: "v0.28.0",
      chart: "oci://quay.io/jetstack/charts/cert-manager-approver-policy",
    },
    keep: false,
  },
  pki: {
    root: { kind: "cluster", active: "1", trusted: ["1"] },
    algorithm: "ECDSA-P256",
    leafDuration: "24h",
    rootDuration: "87600h",
  },
  etcd: { replicas: 1, storage: "1Gi", users: ["1"], image: "gcr.io/etcd-development/etcd:v3.6.15" },
  apisix: {
    ...{ replicas: 1, keyring: ["1"], adminKeys: ["1"], adminClients: [] },
    image: "docker.io/apache/apisix:3.18.0-debian",
    renewerImage: "docker.io/library/node:24.21.0-slim",
  },
  gateway: {
    host: "upstream",
    clients: [],
    hosts: [],
    serviceType: "ClusterIP",
    serviceAnnotations: {},
    plainHttp: { serve: [], redirect: [] },
  },
  upstream: { image: "docker.io/library/nginx:1.28.0", files: { "index.json": '{ "hello": "world" }' } },
  monitoring: { install: false, namespace: "monitoring", labels: {} },
};

describe("the configuration", () => {
  it("needs only a trust domain", () => {
    same(parseConfig({ trustDomain }, "dev"), defaults);
  });

  it("replaces what it names, and nothing else", () => {
    const named = {
      trustDomain,
      namespace: "platform",
      createNamespace: false,
      readyTimeout: "5m",
      certManager: { install: false, namespace: "pki" },
      pki: {
        root: { kind: "cluster", active: "b", trusted: ["a", "b"] },
        ...{ algorithm: "RSA-4096", leafDuration: "2h", rootDuration: "4h" },
      },
      etcd: {
        ...{ replicas: 5, storage: "20Gi", storageClass: "fast", keepData: false, users: ["2", "1"] },
        image: "registry:5000/etcd:v3",
      },
      apisix: { replicas: 3, keyring: ["2026-11", "1"], adminKeys: ["2"] },
      gateway: {
        host: "api.example.internal",
        clients: ["curl", "shop"],
        allow: ["web/cart", "web/till.eu"],
        hosts: ["shop/shop.example.com", "web/till"],
        serviceType: "LoadBalancer",
        serviceAnnotations: { "networking.gke.io/load-balancer-type": "Internal" },
        plainHttp: { serve: ["foo.example"], redirect: ["api.example.internal"] },
      },
      upstream: { image: `nginx@sha256:${"0".repeat(64)}`, files: { "index.json": "{}", "a-b_c.txt": "" } },
      monitoring: { install: true, namespace: "watch", labels: { release: "prometheus" } },
    };
    same(parseConfig(named, "dev"), {
      ...named,
      certManager: { ...defaults.certManager, ...named.certManager },
      pki: { ...defaults.pki, ...named.pki },
      apisix: { ...defaults.apisix, ...named.apisix },
      gateway: {
        ...named.gateway,
        allow: ["cart", "till.eu"].map((serviceAccount) => ({ namespace: "web", serviceAccount })),
        hosts: [
          { namespace: "shop", host: "shop.example.com" },
          { namespace: "web", host: "till" },
        ],
      },
    });
  });

  it("takes the gateway's certificate from an issuer of any kind, or from a Secret", () => {
    const certificateOf = (certificate: object) =>
      parseConfig({ trustDomain, gateway: { certificate } }, "dev").gateway.certificate;
    same(certificateOf({ issuerRef: { name: "letsencrypt.prod" } }), {
      issuerRef: { name: "letsencrypt.prod", kind: "Issuer", group: "cert-manager.io" },
    });
    const cloud = { name: "pca", kind: "AWSPCAClusterIssuer", group: "awspca.cert-manager.io" };
    same(certificateOf({ issuerRef: cloud }), { issuerRef: cloud });
    same(certificateOf({ secretName: "public" }), { secretName: "public" });
  });

  it("accepts a number as a generation's name, and each name once", () => {
    const root = { kind: "cluster", active: 2, trusted: [1, 2, "2"] };
    same(parseConfig({ trustDomain, pki: { root } }, "dev").pki.root, {
      ...{ kind: "cluster", active: "2", trusted: ["1", "2"] },
    });
  });

  it("trusts only the active generation by default", () => {
    const root = { kind: "stateHeld", active: "2026" };
    same(parseConfig({ trustDomain, pki: { root } }, "dev").pki.root, {
      ...{ kind: "stateHeld", active: "2026", trusted: ["2026"], protect: true, intermediateDuration: "8760h" },
    });
  });

  it("accepts a top-level yes or no as the engine passes it", () => {
    equal(parseConfig({ trustDomain, createNamespace: "false" }, "dev").createNamespace, false);
    equal(parseConfig({ trustDomain, createNamespace: "true" }, "dev").createNamespace, true);
    throws(() => parseConfig({ trustDomain, createNamespace: "no" }, "dev"), /createNamespace: must be a boolean/);
  });

  it("cannot be changed once read", () => {
    const frozen = (value: unknown): boolean =>
      typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen));
    ok(frozen(parseConfig({ trustDomain, gateway: { clients: ["curl"] } }, "dev")));
  });

  for (const stack of ["dev", "prod"]) {
    it(`of ${stack} is accepted as in its file, and every key that Pulumi.yaml declares is known`, async () => {
      const file = (name: string) => parse(readFileSync(join(checkout, name), "utf8")) as Record<string, unknown>;
      const { config } = file(`Pulumi.${stack}.yaml`) as { config: Record<string, unknown> };
      const short = Object.entries(config).map(([key, value]) => [key.replace(/^mtls-everywhere:/, ""), value]);
      const read = parseConfig(Object.fromEntries(short) as Record<string, unknown>, stack);
      same(Object.keys((file("Pulumi.yaml") as { config: object }).config).sort(), Object.keys(read).sort());
    });
  }

  it("is read from the engine: objects as JSON, strings as they are, other projects' keys ignored", async () => {
    await pulumi.runtime.setMocks({ newResource: () => ({ id: "", state: {} }), call: () => ({}) }, "shop", "dev");
    const values = {
      "shop:trustDomain": trustDomain,
      "shop:gateway": '{"clients":["curl"]}',
      "kubernetes:context": "elsewhere",
    };
    pulumi.runtime.setAllConfig(values);
    try {
      same(readConfig(), { ...defaults, gateway: { ...defaults.gateway, clients: ["curl"] } });
      pulumi.runtime.setAllConfig({ ...values, "shop:gateway": '{"clients":' });
      throws(readConfig, refusal("gateway: must be an object, not a string"));
    } finally {
      pulumi.runtime.setAllConfig({});
    }
  });

  it("takes no secret, which would not stay one (case 15)", async () => {
    await pulumi.runtime.setMocks({ newResource: () => ({ id: "", state: {} }), call: () => ({}) }, "shop", "dev");
    pulumi.runtime.setAllConfig({ "shop:trustDomain": trustDomain, "shop:upstream": '{"files":{"index.json":"x"}}' });
    process.env.PULUMI_CONFIG_SECRET_KEYS = '["shop:upstream","kubernetes:kubeconfig"]';
    try {
      throws(readConfig, refusal(`upstream: ${keptSecret}`));
    } finally {
      delete process.env.PULUMI_CONFIG_SECRET_KEYS;
      pulumi.runtime.setAllConfig({});
    }
  });
});

const dnsName = 'must be a DNS name: lower-case letters, digits, hyphens and dots, such as "dev.example.internal"';
const kubernetesName = "must be a Kubernetes name: at most 63 lower-case letters, digits and hyphens";
const keyName = 'must be a short name such as "2": lower-case letters, digits and hyphens';
const duration = 'must be a whole number of hours, at least "1h"';
const untagged = 'must carry a tag or a digest, such as "nginx:1.28"';
const keptSecret =
  "holds a secret, but the state and the cluster would show it in the clear; set it again without --secret, and keep secrets elsewhere";
const unknownKey = "is not a known key; remove it or correct its spelling";

const pathAsKey = (key: string) =>
  `is a path, but was set as a key; remove it (pulumi config rm '${key}') and set it with: pulumi config set --path '${key}' VALUE. With pulumi up -c, add --config-path`;

/** A wrong value, and the whole line that says so. */
const wrong: readonly (readonly [Record<string, unknown>, string])[] = [
  [{ trustDomain: undefined }, "trustDomain: is required; set it with: pulumi config set trustDomain VALUE"],
  [{ trustDomain: "Dev_Example" }, `trustDomain: ${dnsName}`],
  [{ trustDomain: "dev..internal" }, `trustDomain: ${dnsName}`],
  [{ trustDomain: "" }, `trustDomain: ${dnsName}`],
  [
    { trustDomain: `${"a".repeat(60)}.long` },
    "trustDomain: must have at most 64 characters: it is the organization in every certificate's subject",
  ],
  [{ trustdomain: "x" }, `trustdomain: ${unknownKey}`],
  [{ etcd: { replica: 3 } }, `etcd.replica: ${unknownKey}`],
  [{ namespace: "Platform" }, `namespace: ${kubernetesName}`],
  [{ namespace: "a".repeat(64) }, `namespace: ${kubernetesName}`],
  [{ pki: { leafDuration: "30m" } }, `pki.leafDuration: ${duration}`],
  [{ pki: { leafDuration: "0h" } }, `pki.leafDuration: ${duration}`],
  [{ pki: { rootDuration: "0.5h" } }, `pki.rootDuration: ${duration}`],
  [
    { pki: { leafDuration: "24h", rootDuration: "47h" } },
    "pki.rootDuration: must be at least twice leafDuration: a leaf may not outlive its root",
  ],
  [{ pki: { root: { kind: "cluster", active: "A 1" } } }, 'pki.root.active: must be a short name, such as "2026"'],
  [
    { pki: { root: { kind: "cluster", trusted: ["1", "peer-1"] } } },
    'pki.root.trusted.1: must not start with "peer" or end with "self-signed": other objects use such names',
  ],
  [
    { pki: { root: { kind: "cluster", trusted: ["2"] } } },
    "pki.root.trusted: must include the active generation: otherwise nobody would trust its leaves",
  ],
  [{ pki: { root: { kind: "stateHeld" } } }, "pki.root.active: is required"],
  [
    { pki: { algorithm: "RSA-1024" } },
    'pki.algorithm: must be one of "ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-4096"',
  ],
  [{ etcd: { replicas: 2 } }, "etcd.replicas: must be 1, 3 or 5: an even number adds no tolerance"],
  [{ etcd: { storage: "1GB" } }, 'etcd.storage: must be a Kubernetes quantity in Mi, Gi or Ti, such as "1Gi"'],
  [{ etcd: { storage: "511Mi" } }, 'etcd.storage: must be at least "512Mi": etcd\'s log alone may take 384 MiB of it'],
  [{ etcd: { keepData: "yes" } }, "etcd.keepData: must be a boolean, not a string"],
  [{ etcd: null }, "etcd: must be an object, not null"],
  [{ etcd: "large" }, "etcd: must be an object, not a string"],
  [{ apisix: { replicas: 0 } }, "apisix.replicas: must be at least 1"],
  [{ apisix: { replicas: 1.5 } }, "apisix.replicas: must be a whole number, not a fraction"],
  [{ apisix: { replicas: "2" } }, "apisix.replicas: must be a number, not a string"],
  [{ apisix: { keyring: [] } }, "apisix.keyring: must name at least one key"],
  [{ apisix: { keyring: ["2", "1", "2"] } }, "apisix.keyring: must name each key once"],
  [{ apisix: { adminKeys: ["Key_2"] } }, `apisix.adminKeys.0: ${keyName}`],
  [{ etcd: { users: ["a".repeat(17)] } }, `etcd.users.0: ${keyName}`],
  [
    { etcd: { users: [2] } },
    "etcd.users.0: must be a string, not a whole number; put it in quotes, or add --type string to pulumi config set",
  ],
  [{ apisix: { image: "apache/apisix" } }, `apisix.image: ${untagged}`],
  [{ upstream: { image: "registry:5000/nginx" } }, `upstream.image: ${untagged}`],
  [{ upstream: { image: "ngi nx:1" } }, 'upstream.image: must be an image reference, such as "nginx:1.28"'],
  [
    { upstream: { files: { "index.json": "", "a/b": "" } } },
    "upstream.files.a/b: must be a plain file name, without folders",
  ],
  [
    { upstream: { files: { "index.json": 1 } } },
    "upstream.files.index.json: must be a string, not a whole number; put it in quotes, or add --type string to pulumi config set",
  ],
  [{ upstream: { files: { "a.json": "" } } }, 'upstream.files: must have "index.json", which answers /'],
  [{ gateway: { host: "*.example.internal" } }, `gateway.host: ${dnsName}`],
  [{ gateway: { clients: "curl" } }, "gateway.clients: must be an array, not a string"],
  [{ gateway: { clients: ["curl", "Shop"] } }, `gateway.clients.1: ${kubernetesName}`],
  [{ gateway: { clients: ["curl", "curl"] } }, "gateway.clients: must name each client once"],
  [{ apisix: { adminClients: ["ops", "ops"] } }, "apisix.adminClients: must name each client once"],
  [{ apisix: { adminClients: ["renewer"] } }, "apisix.adminClients.0: must not be the stack's own deployer or renewer"],
  [{ gateway: { allow: "anyone" } }, 'gateway.allow: must be a list of clients such as "web/cart", or "every client"'],
  ...["cart", "web/cart/x", "web/Cart"].map((client): [Record<string, unknown>, string] => [
    { gateway: { allow: ["web/till", client] } },
    'gateway.allow.1: must be a client such as "web/cart": its namespace and its service account',
  ]),
  [
    { gateway: { serviceAnnotations: { "example.com/internal": true } } },
    "gateway.serviceAnnotations.example.com/internal: must be a string, not a boolean; put it in quotes, or add --type string to pulumi config set",
  ],
  ...[{ issuerRef: { name: "ca" }, secretName: "public" }, {}].map((certificate): [Record<string, unknown>, string] => [
    { gateway: { certificate } },
    "gateway.certificate: must name either issuerRef or secretName",
  ]),
  [
    { gateway: { certificate: { issuerRef: { name: "ca", kind: "clusterissuer" } } } },
    'gateway.certificate.issuerRef.kind: must be a kind, such as "ClusterIssuer"',
  ],
  [
    { gateway: { certificate: { secretName: "mtls/public" } } },
    "gateway.certificate.secretName: must be a Kubernetes name: lower-case letters, digits, hyphens and dots",
  ],
  [
    { gateway: { certificate: { secretName: "public", roots: "roots.pem" } } },
    "gateway.certificate.roots: must be one or more root certificates in PEM",
  ],
  ...["shop.example.com", "shop/*.example.com", "shop/Shop", "shop/a/b"].map(
    (host): [Record<string, unknown>, string] => [
      { gateway: { hosts: ["shop/shop.example.com", host] } },
      'gateway.hosts.1: must be a host such as "shop/shop.example.com": whose namespace, and its name',
    ],
  ),
  [
    { gateway: { host: "api.example.com", hosts: ["shop/api.example.com"] } },
    "gateway.hosts: must not name gateway.host: its leaf is the platform's own",
  ],
  [
    { gateway: { hosts: ["mtls/shop.example.com"] } },
    "gateway.hosts: must not name the platform's own namespace: each Site of the stack has its leaf there without being listed",
  ],
  [{ gateway: { serviceType: "NodePort" } }, 'gateway.serviceType: must be one of "ClusterIP", "LoadBalancer"'],
  [{ readyTimeout: "5" }, 'readyTimeout: must be a number of seconds or minutes, such as "5m"'],
  [
    { namespace: "cert-manager" },
    "namespace: must differ from cert-manager's: whoever may read Secrets there would hold every plane's keys",
  ],
  [{ certManager: { version: "1.21" } }, 'certManager.version: must be a version such as "v1.21.2"'],
  [
    { certManager: { approver: { version: "0.28" } } },
    'certManager.approver.version: must be a version such as "v0.28.0"',
  ],
  [{ certManager: { chart: "" } }, "certManager.chart: must not be empty"],
  [{ certManager: { install: "no" } }, "certManager.install: must be a boolean, not a string"],
];

describe("a wrong configuration", () => {
  for (const [values, line] of wrong) {
    it(`is refused: ${JSON.stringify(values)}`, () => {
      throws(() => parseConfig({ trustDomain, ...values }, "dev"), refusal(line));
    });
  }

  it("shows how a path is set, and a text of digits (case 16)", () => {
    const said: readonly (readonly [Record<string, unknown>, string])[] = [
      // What -c and config set make of a path without --path or --config-path.
      [{ "apisix.replicas": "2" }, `apisix.replicas: ${pathAsKey("apisix.replicas")}`],
      [{ 'upstream.files["a.json"]': "x" }, `upstream.files["a.json"]: ${pathAsKey('upstream.files["a.json"]')}`],
      [{ "apisixx.replicas": "2" }, `apisixx.replicas: ${unknownKey}`],
      [
        { pki: { leafDuration: 24 } },
        "pki.leafDuration: must be a string, not a whole number; put it in quotes, or add --type string to pulumi config set",
      ],
    ];
    for (const [values, line] of said)
      throws(() => parseConfig({ trustDomain, ...values }, "dev"), refusal(line), JSON.stringify(values));
    // What README uses is a name.
    equal(
      parseConfig({ trustDomain, pki: { root: { kind: "stateHeld", active: 2027 } } }, "dev").pki.root.active,
      "2027",
    );
  });

  it("has all its mistakes named at once", () => {
    throws(
      () => parseConfig({ etcd: { replicas: 4 }, pki: { leafDuration: "1d" }, colour: "red", size: 1 }, "dev"),
      refusal(
        "trustDomain: is required; set it with: pulumi config set trustDomain VALUE",
        `pki.leafDuration: ${duration}`,
        "etcd.replicas: must be 1, 3 or 5: an even number adds no tolerance",
        `colour: ${unknownKey}`,
        `size: ${unknownKey}`,
      ),
    );
  });

  it("is reported in a sentence, without stack trace and without repeating a value", () => {
    const secret = "hunter2-hunter2";
    throws(
      () => parseConfig({ trustDomain, upstream: { files: { "index.json": [secret] }, image: secret } }, "dev"),
      (error) => {
        // Of this kind of error the SDK prints only the message.
        ok(pulumi.RunError.isInstance(error));
        ok(!error.message.includes(secret));
        return true;
      },
    );
  });
});

describe("durations", () => {
  it("of any whole number of hours are accepted, and counted", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40_000 }), fc.integer({ min: 0, max: 80_000 }), (leaf, more) => {
        const pki = { leafDuration: `${leaf}h`, rootDuration: `${2 * leaf + more}h` };
        const read = parseConfig({ trustDomain, pki }, "dev").pki;
        equal(hours(read.rootDuration) - 2 * hours(read.leafDuration), more);
      }),
    );
  });
});

/** The whole message of a refusal with these lines in it. */
function refusal(...lines: string[]): { message: string } {
  const listed = lines.map((line) => `  ${line}\n`).join("");
  return {
    message: `The configuration in Pulumi.dev.yaml is invalid:\n${listed}Nothing was changed. The keys are described in config.ts.`,
  };
}
