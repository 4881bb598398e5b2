// The whole program under Pulumi's mocks, with each environment's own configuration: what it plans, and what it must never plan.

/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment -- inputs are of any shape */

import { deepStrictEqual as same, match, ok, rejects, strictEqual as equal, throws } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { sealOf } from "../../apisix-admin/sealing.ts";
import { Certificate } from "../../components/certificate.ts";
import { findPrivateKeys } from "../../policy/keySearch.ts";
import { houseBreaches, type PodSpec, restrictedBreaches } from "../../policy/podSecurity.ts";
import { planes } from "../../vocabulary/planes.ts";
import { Authority } from "../support/authorities.ts";
import { byPlane, platformOutputs } from "../support/outputs.ts";
import { clusterUid, plan, type Planned, type Registered, rootPem } from "./mockedPlatform.ts";

const platform = (plane: string) => [`Certificate mtls/${plane}-root`, `Issuer mtls/${plane}-self-signed`];
const shared = (plane: string) => [
  ...[`Certificate cert-manager/mtls-${plane}-root`, `ClusterIssuer /mtls-${plane}-self-signed`],
];
/** Both ends of the edge between APISIX and etcd, and the upstream's end of the one to it: APISIX's is open to all upstreams. */
const joined = ["apisix-to-etcd", "etcd-from-apisix", "upstream-from-apisix"];
const policies = ["deny-all", "etcd-members", "apisix-gateway", "apisix-renewer", ...joined].map(
  (name) => `NetworkPolicy mtls/${name}`,
);

const policyOf = (name: string) => `CertificateRequestPolicy /mtls.${name}`;

/** What limits requests, where the stack installs cert-manager. */
const limits = [
  "Release cert-manager/cert-manager-approver-policy",
  ...["ClusterRole /cert-manager-policies", "ClusterRoleBinding /cert-manager-policies"],
  ...["", "Binding"].map((part) => `ValidatingAdmissionPolicy${part} /mtls.certificate-requests`),
  ...["edge.clients", "edge.servers", "upstream.clients", "upstream.servers"].map(policyOf),
  ...planes.map((plane) => policyOf(`${plane}.verify`)),
  ...["etcd-server", "etcd-peer", "etcd-client", "etcd-deployer", "upstream-server", "gateway"].map(policyOf),
  ...["apisix-admin", "apisix-deployer", "apisix-renewer", "apisix-upstream"].map(policyOf),
];

/** What every environment has. */
const everywhere = [
  ...["Namespace /mtls", "Namespace /cert-manager", "Release cert-manager/cert-manager"],
  ...limits,
  ...["etcd", "etcd-peer", "admin"].map((plane) => `Issuer mtls/${plane}`),
  ...["edge", "upstream"].map((plane) => `ClusterIssuer /mtls-${plane}`),
  ...planes.map((plane) => `ConfigMap mtls/${plane}-trust`),
  ...["etcd-server", "etcd-peer", "etcd-client", "etcd-deployer"].map((name) => `Certificate mtls/${name}`),
  ...["apisix-admin", "apisix-deployer", "apisix-renewer", "apisix-upstream"].map((name) => `Certificate mtls/${name}`),
  ...["upstream-server", "gateway"].map((name) => `Certificate mtls/${name}`),
  ...["etcd", "apisix", "upstream"].map((name) => `ServiceAccount mtls/${name}`),
  ...["etcd", "etcd-peers", "apisix", "upstream"].map((name) => `Service mtls/${name}`),
  ...["etcd-root-password", "etcd-apisix-password", "apisix-env"].map((name) => `Secret mtls/${name}`),
  ...["apisix-config", "apisix-renewer", "upstream-config", "upstream-files"].map((name) => `ConfigMap mtls/${name}`),
  "ConfigMap mtls/etcd-initial-cluster",
  ...["Role mtls/gateway-renewer", "RoleBinding mtls/gateway-renewer"],
  ...["StatefulSet mtls/etcd", "Deployment mtls/apisix", "Deployment mtls/upstream"],
  ...policies,
];
const dev = [
  ...everywhere,
  ...["etcd", "etcd-peer", "admin"].flatMap(platform),
  ...["edge", "upstream"].flatMap(shared),
  ...["Certificate mtls/client-curl", policyOf("client-curl")],
];
const prod = [
  ...everywhere,
  ...["etcd", "etcd-peer", "admin"].map((plane) => `Secret mtls/${plane}-intermediate`),
  ...["edge", "upstream"].map((plane) => `Secret cert-manager/mtls-${plane}-intermediate`),
  ...["etcd", "apisix"].map((name) => `PodDisruptionBudget mtls/${name}`),
];

/** What a first preview cannot know about objects: roots, passwords, and what is derived from them. */
const unknownEverywhere = [
  ...planes.flatMap((plane) =>
    ["data.ca.crt", "metadata.annotations.mtls-everywhere/generations"].map(
      (path) => `ConfigMap mtls/${plane}-trust ${path}`,
    ),
  ),
  "ConfigMap mtls/apisix-config data.config.yaml",
  ...["etcd-root-password", "etcd-apisix-password", "apisix-env"].map((name) => `Secret mtls/${name} stringData.value`),
  ...[
    "StatefulSet mtls/etcd roots.etcd",
    "StatefulSet mtls/etcd roots.etcd-peer",
    "Deployment mtls/apisix settings-digest",
    ...["etcd", "admin", "upstream"].map((plane) => `Deployment mtls/apisix roots.${plane}`),
    "Deployment mtls/upstream roots.upstream",
  ].map((path) => path.replace(/ (?=[^ ]*$)/, " spec.template.metadata.annotations.mtls-everywhere/")),
  // The renewer's label: a digest of the keyring's first key.
  "Deployment mtls/apisix spec.template.spec.initContainers.1.env.1.value",
];

const leaf = (plane: string, usages: string[], account: string, names?: string[], subject = true) => ({
  issuer: ["edge", "upstream"].includes(plane) ? `ClusterIssuer mtls-${plane}` : `Issuer ${plane}`,
  usages: ["digital signature", ...usages],
  names: names ?? [],
  identity: `ns/mtls/sa/${account}`,
  subject: subject ? [account] : [],
});
const [server, client, both] = [["server auth"], ["client auth"], ["server auth", "client auth"]];
/** All that there can be: more may come later. */
const members = [0, 1, 2, 3, 4].map((index) => `etcd-${index}.etcd-peers.mtls.svc`);

/** Which door each leaf opens, with which usage and names. */
const leaves = (host: string) => ({
  "etcd-server": leaf("etcd", both, "etcd", ["etcd", "etcd.mtls", "etcd.mtls.svc", ...members, "localhost"], false),
  "etcd-peer": leaf("etcd-peer", both, "etcd", [...members], false),
  "etcd-client": leaf("etcd", client, "apisix", [], false),
  "etcd-deployer": leaf("etcd", client, "deployer", [], false),
  "apisix-admin": leaf("admin", server, "apisix", ["apisix-admin.mtls.svc"]),
  "apisix-deployer": leaf("admin", client, "deployer"),
  "apisix-renewer": leaf("admin", client, "renewer"),
  "apisix-upstream": leaf("upstream", client, "apisix"),
  "upstream-server": leaf("upstream", server, "upstream", ["upstream", "upstream.mtls.svc"]),
  gateway: leaf("edge", server, "apisix", [host]),
});

const environments = {
  dev: {
    objects: dev,
    leaves: { ...leaves("upstream"), "client-curl": leaf("edge", client, "curl") },
    duration: "24h",
    members: 1,
    unknown: unknownEverywhere,
  },
  prod: {
    objects: prod,
    leaves: leaves("api.prod.mtls.internal"),
    duration: "720h",
    members: 3,
    unknown: [
      ...unknownEverywhere,
      ...prod.filter((object) => object.endsWith("-intermediate")).map((object) => `${object} stringData.value`),
    ],
  },
} as const;

for (const [stack, expected] of Object.entries(environments)) {
  describe(`the ${stack} environment`, () => {
    let planned: Planned;
    let objects: readonly Registered[];
    before(async () => {
      planned = await plan(stack);
      objects = planned.resources.filter(({ type }) => type.startsWith("kubernetes:"));
    });

    it("has exactly these objects in the cluster", () => {
      same(objects.map(describeObject).sort(), [...expected.objects].sort());
    });

    it("has each object and each Secret just once, whoever writes it", () => {
      const secrets = objects.flatMap(({ inputs }) =>
        inputs.kind === "Secret"
          ? [`${inputs.metadata.namespace}/${inputs.metadata.name}`]
          : inputs.kind === "Certificate"
            ? [`${inputs.metadata.namespace}/${inputs.spec.secretName}`]
            : [],
      );
      same(repeated(secrets), []);
      same(repeated(objects.map(describeObject)), []);
    });

    it("reaches the cluster through the one provider that knows its identity", () => {
      same([...new Set(objects.map(({ provider }) => provider))], ["cluster"]);
      const { inputs } = planned.resources.find(({ type }) => type === "pulumi:providers:kubernetes")!;
      equal(inputs.clusterIdentifier, clusterUid);
    });

    it("creates in the gateway: a site, an upstream, a route, and a refusal of all whom it does not allow", () => {
      const dynamic = planned.resources
        .filter(({ type }) => type.startsWith("pulumi-nodejs:dynamic/"))
        .map(({ type, name }) => `${type.replace("pulumi-nodejs:dynamic/mtls:", "")} ${name}`);
      const roots = stack === "dev" ? planes.map((plane) => `RootCertificates pki-${plane}-roots`) : [];
      const keys = stack === "dev" ? planes.map((plane) => `RootKey pki-${plane}-root-key`) : [];
      same(dynamic.sort(), [
        ...["ApisixRefusal hello-others", "ApisixRoute hello", "ApisixSsl site", "ApisixUpstream hello"],
        ...["EtcdAuth etcd-auth", ...roots.sort(), ...keys.sort()],
      ]);
    });

    it("has leaves that open one door each, with exact usages and names", () => {
      const issued = objects.filter(({ inputs }) => inputs.kind === "Certificate" && !inputs.spec.isCA);
      same(Object.fromEntries(issued.map(({ name, inputs }) => [name, summary(inputs.spec as Spec)])), expected.leaves);
      same([...new Set(issued.map(({ inputs }) => inputs.spec.duration as string))], [expected.duration]);
      for (const { name, inputs } of issued) {
        equal(inputs.spec.secretName, name);
        equal(inputs.spec.privateKey.rotationPolicy, "Always");
      }
    });

    it("limits requests to its own issuers alone, which the guard names too", () => {
      const guard = objects.find(({ inputs }) => inputs.kind === "ValidatingAdmissionPolicy")!;
      const guarded = guard.inputs.spec.matchConditions[0].expression as string;
      const policies = objects.filter(({ inputs }) => inputs.kind === "CertificateRequestPolicy");
      ok(policies.length > 10);
      for (const { name, inputs } of policies) {
        const { kind, name: issuer, group } = inputs.spec.selector.issuerRef as Record<string, string>;
        equal(group, "cert-manager.io", name);
        ok(guarded.includes(`'${kind}/${kind === "Issuer" ? "mtls" : ""}/${issuer}'`), name);
      }
    });

    it("has no wildcard except in the route's path", () => {
      // A policy's rules have regular expressions.
      const others = /^__provider$|^data\.renewer\.cjs$|^spec\.allowed\..*\.rule$/;
      const wildcards = planned.resources.flatMap(({ name, inputs }) =>
        strings(inputs)
          .filter(({ path, text }) => text.includes("*") && !others.test(path))
          .map(({ path, text }) => `${name} ${path} ${text}`),
      );
      same(wildcards.sort(), ["hello uris.0 /*", "hello-others uris.0 /*"]);
    });

    it("runs pods under `restricted`, each with a service account that has no token", () => {
      const workloads = objects.filter(({ inputs }) => inputs.spec?.template);
      equal(workloads.length, 3);
      for (const { name, inputs } of workloads) {
        const pod = inputs.spec.template.spec as PodSpec;
        same({ name, breaches: [...restrictedBreaches(pod), ...houseBreaches(pod)] }, { name, breaches: [] });
      }
      const accounts = objects.filter(({ inputs }) => inputs.kind === "ServiceAccount");
      ok(accounts.every(({ inputs }) => inputs.automountServiceAccountToken === false));
      same(
        workloads.map(({ inputs }) => inputs.spec.template.spec.serviceAccountName as string).sort(),
        accounts.map(({ inputs }) => inputs.metadata.name as string).sort(),
      );
    });

    it("mounts only Secrets and ConfigMaps that it creates", () => {
      const made = new Set(
        objects.flatMap(({ inputs: { kind, metadata, spec } }) =>
          kind === "Certificate" ? [`Secret ${spec.secretName}`] : [`${kind} ${metadata?.name}`],
        ),
      );
      const mounted = objects
        .filter(({ inputs }) => inputs.spec?.template)
        .flatMap(({ inputs }) => inputs.spec.template.spec.volumes as Record<string, Record<string, string>>[])
        .flatMap(({ secret, configMap }) => [
          ...(secret ? [`Secret ${secret["secretName"]}`] : []),
          ...(configMap ? [`ConfigMap ${configMap["name"]}`] : []),
        ]);
      ok(mounted.length > 10);
      same(
        mounted.filter((name) => !made.has(name)),
        [],
      );
    });

    it("selects its own pods and no others", () => {
      for (const { inputs } of objects.filter(({ inputs }) => inputs.kind === "Service")) {
        const matching = objects.filter(
          ({ inputs: { spec } }) =>
            spec?.template &&
            Object.entries(inputs.spec.selector as object).every(
              ([key, value]) => spec.template.metadata.labels[key] === value,
            ),
        );
        equal(matching.length, 1, inputs.metadata.name as string);
      }
    });

    it(`holds private keys ${stack === "dev" ? "nowhere" : "of authorities only, where they are declared"}`, () => {
      const holders = planned.resources
        .filter(({ inputs }) => findPrivateKeys(inputs).length > 0)
        .map(({ type, name }) => `${type.split(":").at(-1)} ${name}`);
      const declared = planes.flatMap((plane) => [
        `SelfSignedCert pki-${plane}-root-2026`,
        ...["CertRequest", "LocallySignedCert", "Secret"].map((type) =>
          type === "CertRequest" ? `${type} pki-${plane}-intermediate-request` : `${type} pki-${plane}-intermediate`,
        ),
      ]);
      same(holders.sort(), stack === "dev" ? [] : declared.sort());
    });

    it("passes passwords on in Secrets only, marked as secret", () => {
      const holders = planned.resources.flatMap(({ type, name, inputs }) =>
        strings(inputs)
          .filter(({ text }) => text.includes("password-of-"))
          .map(({ path }) => `${type} ${name} ${path}`),
      );
      // The engine's protocol puts a secret's value under "value".
      const place = "stringData.value";
      same(holders.sort(), [
        `kubernetes:core/v1:Secret apisix-env ${place}.ADMIN_KEY`,
        `kubernetes:core/v1:Secret apisix-env ${place}.ETCD_PASSWORD`,
        `kubernetes:core/v1:Secret apisix-env ${place}.KEYRING`,
        `kubernetes:core/v1:Secret etcd-apisix ${place}.password`,
        `kubernetes:core/v1:Secret etcd-root ${place}.password`,
      ]);
    });

    it("gives other stacks references and public data", () => {
      const host = stack === "dev" ? "upstream" : "api.prod.mtls.internal";
      const roots = byPlane(() => rootPem);
      const ids = { route: "hello-id" };
      const environment = {
        ...{ trustDomain: `${stack}.mtls.internal`, host, cluster: clusterUid, members: expected.members },
        ...{ roots, generation: stack === "dev" ? "1" : "2026", ids, clients: stack === "dev" ? ["curl"] : [] },
      };
      const all = platformOutputs(environment);
      const sealedBy = sealOf("1", "password-of-apisix-keyring");
      same(planned.outputs, { ...all, admin: { ...all.admin, sealedBy } });
    });

    it("knows every name and selector at preview, which would otherwise announce replacements", async () => {
      const { resources } = await plan(stack, {}, { preview: true });
      const previewed = resources.filter(({ type }) => type.startsWith("kubernetes:"));
      same(previewed.map(describeObject).sort(), [...expected.objects].sort());
      const unknown = previewed.flatMap((object) =>
        unknowns(object.inputs).map((path) => `${describeObject(object)} ${path}`),
      );
      same(unknown.sort(), [...expected.unknown].sort());
    });
  });
}

describe("the platform", () => {
  it("uses an installed cert-manager without touching it, or limiting requests to it", async () => {
    const { resources, outputs } = await plan("dev", { certManager: { install: false, namespace: "pki" } });
    equal(outputs["hosts"], undefined);
    const objects = resources.filter(({ type }) => type.startsWith("kubernetes:")).map(describeObject);
    const own = ["Namespace /cert-manager", "Release cert-manager/cert-manager", ...limits, policyOf("client-curl")];
    const without = dev
      .filter((object) => !own.includes(object))
      .map((object) => object.replace("Certificate cert-manager/", "Certificate pki/"));
    same(objects.sort(), without.sort());
  });

  it("with monitoring adds alerts, a scrape rule, its network edge and a dashboard, and nothing else", async () => {
    const { resources: plain } = await plan("dev");
    const { resources } = await plan("dev", { monitoring: { install: true, namespace: "watch" } });
    const names = new Set(plain.map(({ name }) => name));
    same(
      resources
        .filter(({ name }) => !names.has(name))
        .map(({ type, name }) => `${type.split(":").at(-1)} ${name}`)
        .sort(),
      [
        "ConfigMap monitoring-dashboard",
        "Monitoring monitoring",
        "NetworkPolicy monitoring-metrics",
        "PodMonitor monitoring-pods",
        "PrometheusRule monitoring-rules",
      ],
    );
  });

  describe("that presents its own leaf, after a release that did not", () => {
    const roots = byPlane(() => rootPem);
    const environment = { trustDomain: "dev.mtls.internal", host: "upstream", cluster: clusterUid, roots };
    const made = platformOutputs({ ...environment, ids: { route: "hello", clientCertificate: "upstream-client" } });
    const { identities: _since, ...caller } = made.caller;
    const planned = async (lastOutputs: object) => {
      const { resources, outputs } = await plan("dev", {}, { lastOutputs });
      const object = resources.find(({ type, name }) => type.endsWith(":ApisixSsl") && name === "upstream-client");
      const upstream = resources.find(({ type }) => type.endsWith(":ApisixUpstream"))!;
      const { clientCertificate } = outputs["caller"] as { clientCertificate?: string };
      return {
        object: object && { use: object.inputs.use as string, secret: object.inputs.certificate.name as string },
        named: upstream.inputs.clientCertificate as string | undefined,
        contract: outputs["contract"],
        offered: clientCertificate,
      };
    };
    const object = { use: "client", secret: "apisix-upstream" };

    it("keeps naming the object in the update that replaces the old gateway", async () => {
      const was = { ...made, caller };
      const id = "upstream-client-id";
      same(await planned(was), { object, named: id, contract: 1, offered: id });
    });

    it("keeps the object for others if the gateway cannot be asked", async () => {
      same(await planned(made), { object, named: undefined, contract: 1, offered: "upstream-client-id" });
    });

    it("has no such object if the last update left none", async () => {
      const without = platformOutputs({ ...environment, ids: { route: "hello" } });
      same(await planned(without), { object: undefined, named: undefined, contract: 2, offered: undefined });
    });
  });

  describe("that says who may call it, after a release that did not", () => {
    const environment = { trustDomain: "dev.mtls.internal", host: "upstream", cluster: clusterUid };
    const before = platformOutputs({ ...environment, roots: byPlane(() => rootPem), ids: { route: "hello" } });
    const planned = async (gateway: object, lastOutputs: object) => {
      const { resources, outputs } = await plan("dev", { gateway: { host: "upstream", ...gateway } }, { lastOutputs });
      const named = (name: string) =>
        resources.find((resource) => resource.name === name && "hosts" in resource.inputs);
      const { vars } = named("hello")!.inputs as { vars?: readonly (readonly unknown[])[] };
      const { allowed } = (outputs["clients"] ?? {}) as { allowed?: unknown };
      return { subjects: vars?.at(-1)?.at(-1), refuses: named("hello-others") !== undefined, allowed };
    };
    const [curl, cart] = ["CN=curl,OU=mtls,O=dev.mtls.internal", "CN=cart,OU=web,O=dev.mtls.internal"];
    const clients = ["curl"];
    const ofCurl = { subjects: [curl], refuses: true, allowed: [{ namespace: "mtls", serviceAccount: "curl" }] };

    it("goes on answering every client until it is told whom", async () => {
      const open = { subjects: undefined, refuses: false, allowed: undefined };
      same(await planned({ clients }, before), open);
      same(await planned({ clients, allow: "every client" }, before), { ...open, allowed: "every client" });
    });

    it("answers those on the list once it is told, and keeps to it", async () => {
      same(await planned({ clients, allow: [] }, before), ofCurl);
      const decided = platformOutputs({ ...environment, roots: before.roots, clients, ids: { route: "hello" } });
      same(await planned({ clients }, decided), ofCurl);
      same(await planned({ clients, allow: ["web/cart"] }, decided), {
        ...{ subjects: [cart, curl], refuses: true },
        allowed: [...ofCurl.allowed, { namespace: "web", serviceAccount: "cart" }],
      });
    });

    it("of a new stack answers only the clients that it names", async () => {
      same(await planned({ clients }, {}), ofCurl);
      same(await planned({}, {}), { subjects: [], refuses: true, allowed: [] });
    });
  });

  describe("whose own host shows a certificate from elsewhere", () => {
    const issuerRef = { name: "letsencrypt", kind: "ClusterIssuer" };
    const there = {
      "/apis/cert-manager.io/v1": { resources: [{ kind: "ClusterIssuer", name: "clusterissuers", namespaced: false }] },
      "/apis/cert-manager.io/v1/clusterissuers/letsencrypt": {},
    };
    /** Each resource by its URN, as it is asked for. */
    const asked = ({ resources }: Planned) =>
      new Map(resources.map(({ urns, inputs }) => [urns[0]!, JSON.stringify(inputs)]));
    const gateway = { host: "upstream", clients: ["curl"] };
    const given = ({ outputs }: Planned) =>
      outputs as unknown as {
        readonly gateway: Readonly<Record<string, unknown>>;
        readonly serverCertificates: Readonly<Record<string, object>>;
      };
    it("changes that certificate, the grant to read it and what shows it, and nothing else", async () => {
      const [old, wanted] = [
        await plan("dev"),
        await plan("dev", { gateway: { ...gateway, certificate: { issuerRef } } }, { there }),
      ];
      const [first, next] = [asked(old), asked(wanted)];
      const names = (urns: readonly string[]) => urns.map((urn) => urn.split("::").slice(-2).join(" ")).sort();
      const grant = (name: string) =>
        [
          "mtls:platform:Site$mtls:platform:RenewerGrant",
          ...["Role", "RoleBinding"].map(
            (kind) => `mtls:platform:Site$mtls:platform:RenewerGrant$kubernetes:rbac.authorization.k8s.io/v1:${kind}`,
          ),
        ].map((type) => `${type} ${name}-renewer`);
      const certificate = (kind: string, name: string) => [
        `mtls:platform:Site$mtls:platform:${kind} ${name}`,
        `mtls:platform:Site$mtls:platform:${kind}$kubernetes:cert-manager.io/v1:Certificate ${name}`,
      ];
      const policy =
        "mtls:platform:Site$mtls:platform:Certificate$kubernetes:policy.cert-manager.io/v1alpha1:CertificateRequestPolicy gateway-policy";
      same(
        {
          gone: names([...first.keys()].filter((urn) => !next.has(urn))),
          made: names([...next.keys()].filter((urn) => !first.has(urn))),
          changed: names([...first.keys()].filter((urn) => next.has(urn) && next.get(urn) !== first.get(urn))),
        },
        {
          gone: [...certificate("Certificate", "gateway"), policy, ...grant("gateway")].sort(),
          made: [...certificate("ForeignCertificate", "gateway-external"), ...grant("gateway-external")].sort(),
          changed: ["mtls:platform:Site$pulumi-nodejs:dynamic/mtls:ApisixSsl site"],
        },
      );
      const { gateway: before, serverCertificates: servers, ...others } = given(old);
      const { gateway: shown, serverCertificates, ...unchanged } = given(wanted);
      same(unchanged, others);
      same(shown, { ...before, roots: "public" });
      same(serverCertificates, { ...servers, edge: { ...servers["edge"], name: "gateway-external" } });
    });

    it("may be a Secret of one's own, which stays its owner's", async () => {
      const authority = await Authority.create("own");
      const { cert, key } = await authority.leaf({ dnsNames: ["upstream"], usages: ["server auth"] });
      const base64 = (text: string) => Buffer.from(text).toString("base64");
      const data = { "tls.crt": base64(cert), "tls.key": base64(key) };
      const certificate = { secretName: "public", roots: authority.root };
      const planned = await plan(
        "dev",
        { gateway: { ...gateway, certificate } },
        {
          there: { "/api/v1/namespaces/mtls/secrets/public": { data } },
        },
      );
      same(
        planned.resources
          .filter(({ name }) => name === "site" || /^gateway/.test(name))
          .map(({ name, inputs }) => [name, inputs.certificate as unknown]),
        [
          ["site", undefined],
          ["site", { namespace: "mtls", name: "public" }],
        ],
      );
      equal(given(planned).gateway["roots"], authority.root);
    });
  });

  it("with three etcd members keeps a majority", async () => {
    const { resources } = await plan("dev", { etcd: { replicas: 3 } });
    ok(resources.some(({ type, name }) => type === "kubernetes:policy/v1:PodDisruptionBudget" && name === "etcd"));
  });

  it("plans nothing if others use its names, and says so in one message (case 9)", async () => {
    const registered: string[] = [];
    const labels = { "mtls-everywhere/stack": "prod" };
    const there = {
      "/api/v1/namespaces/mtls": { metadata: { labels } },
      "/apis/cert-manager.io/v1/clusterissuers/mtls-edge": { metadata: { labels } },
    };
    await rejects(plan("dev", {}, { there, onResource: (name) => registered.push(name) }), (error: Error) => {
      ok(pulumi.RunError.isInstance(error));
      same(error.message.split("\n"), [
        "Stack dev conflicts with what is already in the cluster:",
        "  Namespace mtls, ClusterIssuer mtls-edge already exist, owned by stack prod: set namespace to another name",
        "Nothing was changed.",
      ]);
      return true;
    });
    same(registered, []);
  });

  it("plans nothing on a cluster that does not answer, and says what to do", async () => {
    const registered: string[] = [];
    await rejects(
      plan("dev", {}, { unreachable: true, onResource: (name) => registered.push(name) }),
      (error: Error) => {
        ok(pulumi.RunError.isInstance(error));
        const [first = "", ...rest] = error.message.split("\n");
        match(first, /^The Kubernetes cluster cannot be used: .* from http:\/\/127\.0\.0\.1:\d+: ECONNREFUSED/);
        same(rest, [
          "Nothing was changed. Check KUBECONFIG, kubernetes:kubeconfig and kubernetes:context: kubectl get namespace kube-system must work.",
        ]);
        return true;
      },
    );
    same(registered, []);
  });
});

describe("a leaf's subject", () => {
  const make = (change: { trustDomain?: string; namespace?: string; serviceAccount?: string }) => {
    const { trustDomain = "dev.example", namespace = "mtls", serviceAccount = "curl" } = change;
    const issuer = pulumi.output({ plane: "edge", kind: "ClusterIssuer", name: "mtls-edge", group: "g" } as const);
    const authority = { plane: "edge", issuer, trustDomain, algorithm: "ECDSA-P256", leafDuration: "24h" } as const;
    return new Certificate("leaf", { authority, namespace, serviceAccount, usages: ["client auth"] });
  };

  before(() =>
    pulumi.runtime.setMocks({ newResource: ({ inputs }) => ({ id: "x", state: inputs as object }), call: () => ({}) }),
  );

  it("may have 64 characters in each part", () => {
    const long = "a".repeat(64);
    make({ trustDomain: long, namespace: long, serviceAccount: long });
  });

  for (const part of ["trustDomain", "namespace", "serviceAccount"] as const) {
    it(`with a longer ${part} is refused by the resource`, () => {
      const long = "a".repeat(65);
      throws(
        () => make({ [part]: long }),
        (error) => {
          ok(pulumi.ResourceError.isInstance(error));
          equal(
            error.message,
            `${part} "${long}" has 65 characters; a certificate subject holds at most 64. Choose a shorter one.`,
          );
          return true;
        },
      );
    });
  }
});

/** `Kind namespace/name`. */
function describeObject({ type, inputs }: Registered): string {
  return type === "kubernetes:helm.sh/v3:Release"
    ? `Release ${inputs.namespace}/${inputs.name}`
    : `${inputs.kind} ${inputs.metadata.namespace ?? ""}/${inputs.metadata.name}`;
}

function repeated(names: readonly string[]): string[] {
  return names.filter((name, index) => names.indexOf(name) !== index);
}

interface Spec {
  readonly issuerRef: { readonly kind: string; readonly name: string };
  readonly usages: readonly string[];
  readonly uris: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly commonName?: string;
}

function summary({ issuerRef, usages, uris, dnsNames, commonName }: Spec) {
  return {
    issuer: `${issuerRef.kind} ${issuerRef.name}`,
    usages,
    names: dnsNames ?? [],
    identity: uris.map((uri) => uri.replace(/^spiffe:\/\/\w+\.mtls\.internal\//, "")).join(" "),
    subject: commonName === undefined ? [] : [commonName],
  };
}

/** Every string in a value, with its path. */
function strings(value: unknown, path = ""): { path: string; text: string }[] {
  if (typeof value === "string") return [{ path, text: value }];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => strings(inner, path ? `${path}.${key}` : key));
}

/** The paths of what is unknown in a value. */
function unknowns(value: unknown, path = ""): string[] {
  if (pulumi.isUnknown(value)) return [path];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => unknowns(inner, path ? `${path}.${key}` : key));
}
