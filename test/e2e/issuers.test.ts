// Certificates of other people's issuers at the gateway, in a lab of its own with a real ACME server, whose validation is on, and a
// real name server: a Secret that is replaced by hand, an issuer by reference, and ACME by DNS-01.

import {
  deepStrictEqual as same,
  match,
  notStrictEqual as differs,
  ok,
  strictEqual as equal,
} from "node:assert/strict";
import { randomBytes, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { parse, stringify } from "yaml";

import { servedChain } from "../../cluster-access/served.ts";
import { Cluster } from "../../cluster-access/cluster.ts";
import { certificatesOf, type KeyPair } from "../../cluster-access/certificates.ts";
import { rootOf } from "../../cluster-access/handshake.ts";
import { acmeIssuer, acmeServers, issuer, namespace, rootPath, server, zone } from "../../lab/acme/objects.ts";
import type { PlatformOutputs } from "../../outputs.ts";
import { ask } from "../../tools/verify/http.ts";
import { Authority } from "../support/authorities.ts";
import { changes, inLabFolder, inOwnLab, must, run } from "./ownLab.ts";

const minute = 60_000;
const host = `api.${zone}`;

describe("certificates of other issuers at the gateway", function () {
  this.timeout(5 * minute);
  this.slow(1); // makes mocha print how long each step took

  const env = { PULUMI_OPTION_CONFIG_FILE: inLabFolder("Pulumi.issuers.yaml") };
  const tsig = randomBytes(32).toString("base64");
  let own: Authority;
  /** Settles when the ACME server has validated the host for the issuer's account: cert-manager waits a minute for DNS. */
  let validated: Promise<unknown>;
  let outputs: PlatformOutputs;

  inOwnLab(
    async () => {
      own = await Authority.create("own");
      const pair = await (await Authority.create("acme server")).leaf({ dnsNames: [server], usages: ["server auth"] });
      await apply(...acmeServers({ pair, tsig }));
    },
    { LAB_ACME: "1" },
  );

  it("begin as the edge plane's, and need no other", async () => {
    validated = validate();
    validated.catch(() => undefined); // The step that awaits it reports it.
    await up();
    equal(outputs.gateway.roots, undefined);
    await isServedTo(await edgeRoots(), "gateway");
  });

  it("are refused before anything is changed while they are not there", async () => {
    const refused = async (certificate: object, words: RegExp) => {
      configure(certificate);
      const { code, output } = await run("pulumi", ["preview"], env);
      differs(code, 0, output);
      match(output, words);
      match(output, /Nothing was changed\./);
    };
    await refused({ secretName: "public" }, /secretName: Secret mtls\/public does not exist\./);
    await refused({ issuerRef: { name: "other" } }, /issuerRef: Issuer other does not exist\./);
  });

  it("may be a Secret of one's own, and are served within seconds after it is replaced by hand", async () => {
    const first = await ownLeaf();
    await apply(secretOf(first));
    same(await up({ secretName: "public", roots: own.root }), {
      create: ["RenewerGrant site-renewer", "Role site-renewer", "RoleBinding site-renewer"],
      update: ["ApisixSsl site"],
      delete: [
        ...["Certificate gateway", "Certificate gateway", "CertificateRequestPolicy gateway-policy"],
        ...grantOf("gateway"),
      ].sort(),
    });
    equal(outputs.gateway.roots, own.root);
    await isServedTo(own.root, "public");
    await verified();

    // A bad pair changes nothing; the next good one is served.
    const [second, third] = [await ownLeaf(), await ownLeaf()];
    await apply(secretOf({ cert: second.cert, key: third.key }));
    await sleep(2_000);
    equal((await shown())[0]!.fingerprint256, leafOf(first).fingerprint256);
    await apply(secretOf(second));
    await isServedSoon(leafOf(second));
    await verified();
  });

  it("may be any issuer's, by reference, and carry the host and nothing else", async () => {
    await apply(...otherIssuer);
    await must("kubectl", ["wait", "issuer/other", "-n", "mtls", "--for=condition=Ready", "--timeout=1m"]);
    const roots = await textIn("other-root", "tls.crt");
    await up({ issuerRef: { name: "other" }, roots });
    await isServedTo(roots, "gateway-external");
    const [leaf] = await shown();
    same(
      [leaf!.subject, leaf!.subjectAltName, leaf!.keyUsage, leaf!.publicKey.asymmetricKeyDetails?.namedCurve],
      [undefined, `DNS:${host}`, ["1.3.6.1.5.5.7.3.1"], "prime256v1"],
    );
    await verified();
  });

  it("may be an ACME server's, by DNS-01 with its validation on", async () => {
    await validated;
    const roots = await must("kubectl", ["get", "--raw", rootPath]);
    await up({ issuerRef: { name: issuer, kind: "ClusterIssuer" }, roots });
    await isServedTo(roots, "gateway-external");
    // What the servers say of it themselves.
    const said = (name: string) => must("kubectl", ["logs", `deployment/${name}`, "-n", namespace]);
    match(await said("pebble"), /authz \S+ set VALID by completed challenge/);
    match(await said("name-server"), /DDNS, .*(finished|processing|accepted|updated)/i);
    await verified();
  });

  it("are renewed, with another key, and served without an update", async () => {
    const before = (await shown())[0]!;
    await must(process.execPath, ["tools/rotate/cli.ts", "renew", "gateway-external"]);
    const renewed = new X509Certificate(await textIn("gateway-external", "tls.crt"));
    differs(renewed.fingerprint256, before.fingerprint256);
    ok(!renewed.publicKey.equals(before.publicKey));
    await isServedSoon(renewed);
    await must("pulumi", ["preview", "--expect-no-changes"], env);
    await verified();
  });

  it("may be the edge plane's again", async () => {
    await up();
    equal(outputs.gateway.roots, undefined);
    await isServedTo(await edgeRoots(), "gateway");
  });

  /** Writes the configuration with this certificate. */
  function configure(certificate?: object): void {
    const dev = parse(readFileSync(inLabFolder("Pulumi.dev.yaml"), "utf8")) as { config: Record<string, object> };
    const gateway = { host, clients: ["curl"], ...(certificate && { certificate }) };
    writeFileSync(
      env.PULUMI_OPTION_CONFIG_FILE,
      stringify({ ...dev, config: { ...dev.config, "mtls-everywhere:gateway": gateway } }),
    );
  }

  /** What the update changes. */
  async function up(certificate?: object): Promise<Record<string, string[]>> {
    configure(certificate);
    const done = changes(await must("pulumi", ["up", "--yes", "--skip-preview", "--json"], env));
    outputs = JSON.parse(await must("pulumi", ["stack", "output", "--json"])) as PlatformOutputs;
    for (const names of Object.values(done)) names.sort();
    return done;
  }

  /** Has the host validated as soon as there is a cert-manager, for a certificate that nobody uses. */
  async function validate(): Promise<void> {
    for (const end = Date.now() + 2 * minute; ; await sleep(2_000)) {
      const applied = await apply(...acmeIssuer(tsig)).catch((error: Error) => error);
      if (!(applied instanceof Error)) break;
      if (Date.now() > end) throw applied;
    }
    await apply({
      ...{ apiVersion: "cert-manager.io/v1", kind: "Certificate", metadata: { name: "early", namespace } },
      spec: { secretName: "early", dnsNames: [host], issuerRef: { name: issuer, kind: "ClusterIssuer" } },
    });
    await must("kubectl", ["wait", "certificate/early", "-n", namespace, "--for=condition=Ready", "--timeout=3m"]);
  }

  async function shown(): Promise<readonly X509Certificate[]> {
    return servedChain(new Cluster(), outputs.gateway, { within: 10_000 });
  }

  /** Clients with these roots get an answer, under the certificate of this Secret. */
  async function isServedTo(roots: string, secret: string): Promise<void> {
    const cluster = new Cluster();
    const pair = await cluster.keyPair({ namespace: "mtls", name: "client-curl" });
    // From one foreign issuer to another, the certificate is reissued in place, which the update need not have waited for.
    for (const end = Date.now() + 30_000; !rootOf(await shown(), certificatesOf(roots)) && Date.now() < end;)
      await sleep(200);
    const answer = await ask(cluster, outputs.gateway, { ca: roots, pair }, { path: "/" }, AbortSignal.timeout(10_000));
    same([answer.status, answer.text.trim()], [200, '{ "hello": "world" }']);
    const chain = await shown();
    ok(rootOf(chain, certificatesOf(roots)));
    equal(chain[0]!.fingerprint256, new X509Certificate(await textIn(secret, "tls.crt")).fingerprint256);
    equal(outputs.serverCertificates?.edge.name, secret);
  }

  async function isServedSoon(leaf: X509Certificate): Promise<void> {
    const start = performance.now();
    while ((await shown())[0]!.fingerprint256 !== leaf.fingerprint256) {
      ok(performance.now() - start < 10_000, "not served within 10 s");
      await sleep(50);
    }
    console.log(`      served ${((performance.now() - start) / 1000).toFixed(1)} s later`);
  }

  async function verified(): Promise<void> {
    const { code, output } = await run(process.execPath, ["tools/verify/cli.ts"]);
    equal(code, 0, output);
  }

  async function edgeRoots(): Promise<string> {
    return new Cluster().trustBundle(outputs.gateway.trust);
  }

  async function textIn(name: string, key: string): Promise<string> {
    return new Cluster().secretValue({ namespace: "mtls", name, key });
  }

  function ownLeaf(): Promise<KeyPair> {
    return own.leaf({ dnsNames: [host], usages: ["server auth"] });
  }
});

const grantOf = (name: string) => ["RenewerGrant", "Role", "RoleBinding"].map((kind) => `${kind} ${name}-renewer`);

function leafOf({ cert }: KeyPair): X509Certificate {
  return new X509Certificate(cert);
}

function secretOf({ cert, key }: KeyPair): object {
  return {
    ...{ apiVersion: "v1", kind: "Secret", type: "kubernetes.io/tls", metadata: { name: "public", namespace: "mtls" } },
    stringData: { "tls.crt": cert, "tls.key": key },
  };
}

/** An authority in the platform's namespace that is none of the platform's. */
const otherIssuer = [
  { name: "other-self-signed", spec: { selfSigned: {} } },
  { name: "other", spec: { ca: { secretName: "other-root" } } },
]
  .map(({ name, spec }): object => ({
    ...{ apiVersion: "cert-manager.io/v1", kind: "Issuer", metadata: { name, namespace: "mtls" }, spec },
  }))
  .concat({
    ...{ apiVersion: "cert-manager.io/v1", kind: "Certificate", metadata: { name: "other-root", namespace: "mtls" } },
    spec: { isCA: true, commonName: "other root", secretName: "other-root", issuerRef: { name: "other-self-signed" } },
  });

let applied = 0;
async function apply(...items: object[]): Promise<void> {
  const file = inLabFolder(`objects-${++applied}.json`);
  writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  await must("kubectl", ["apply", "-f", file]);
}
