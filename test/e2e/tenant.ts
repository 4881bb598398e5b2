// What a tenant's pod can try against the platform from inside the cluster, with the rights and the leaves that any tenant gets.

import { deepStrictEqual as same, doesNotMatch, equal, ok } from "node:assert/strict";

import { CoreV1Api } from "@kubernetes/client-node";

import { Cluster } from "../../cluster-access/cluster.ts";
import { identitiesOf, subjectOf } from "../../vocabulary/identities.ts";
import { apisixPorts, etcdPorts, metricsPort, nginxPort } from "../../vocabulary/ports.ts";
import type { Attempt, Seen } from "./insidePod.ts";
import { must, run } from "./ownLab.ts";
import {
  createTenant,
  fromPod,
  obtained,
  type Pair,
  removeTenant,
  tenant,
  toKubernetes,
  type Wanted,
} from "./tenantPod.ts";

/** The tenant lies that its pod is the gateway, an upstream and the platform's own. */
const lies = {
  ...{ "app.kubernetes.io/name": "apisix", "app.kubernetes.io/part-of": "mtls-everywhere" },
  ...{ "mtls-everywhere/stack": "dev", "mtls-everywhere/upstream": "true" },
};

const issuer = (plane: string) => ({ kind: "ClusterIssuer", name: `mtls-${plane}` });

/** What came of an attempt, in a word. */
const wordOf = (seen: Seen) => ("status" in seen ? String(seen.status) : seen.error);

/** Names under which a server may read what the gateway says of a client. */
const spellings = ["X-Forwarded-Client-Cert", "x-forwarded-client-cert", "X_Forwarded_Client_Cert"];

/** The steps. `admit` brings the platform up with these callers besides its own, or with none. */
export function attacksOfTenant(admit: (allow: readonly string[]) => Promise<void>): void {
  const gateway: Attempt = {
    host: "apisix.mtls.svc",
    port: 443,
    serverName: "upstream",
    path: "/",
    headers: ["Host", "upstream"],
  };
  const curl = subjectOf(identitiesOf([{ namespace: "mtls", serviceAccount: "curl" }], ["dev.mtls.internal"])[0]!);
  const pods: Record<"apisix" | "etcd" | "upstream", string> = { apisix: "", etcd: "", upstream: "" };
  let edge: Pair;
  let upstream: Pair;
  let caller: Pair;
  const tally = { attempts: 0, answered: 0 };

  /** Tries them all from the pod, and compares what came of each; none may be answered as if the tenant were somebody else. */
  async function refused(expected: readonly string[], ...attempts: readonly Attempt[]): Promise<readonly Seen[]> {
    const seen = await fromPod(...attempts);
    tally.attempts += seen.length;
    tally.answered += seen.filter((one) => "status" in one && one.status < 400).length;
    same(
      seen.map(wordOf),
      attempts.map((_, index) => expected[index] ?? expected.at(-1)),
    );
    return seen;
  }

  before("a tenant gets a namespace, a pod and leaves of its own", async () => {
    await createTenant(lies);
    const core = new Cluster().config.makeApiClient(CoreV1Api);
    for (const name of ["apisix", "etcd", "upstream"] as const) {
      const labelSelector = `app.kubernetes.io/name=${name}`;
      const { items } = await core.listNamespacedPod({ namespace: "mtls", labelSelector });
      pods[name] = items.find(({ status }) => status?.phase === "Running")?.status?.podIP ?? "";
    }
    const own = await Promise.all([
      obtained({ name: "own-edge", issuerRef: issuer("edge"), usages: ["client auth"] }),
      obtained({
        name: "own-upstream",
        issuerRef: issuer("upstream"),
        usages: ["server auth"],
        dnsNames: ["x.tenant.svc"],
      }),
      obtained({ name: "own-caller", issuerRef: issuer("upstream"), usages: ["client auth"] }),
    ]);
    ok(own[0] && own[1] && own[2], "a tenant gets leaves for itself");
    [edge, upstream, caller] = own as [Pair, Pair, Pair];
  });
  after(removeTenant);

  it("is refused what the Kubernetes API keeps from a tenant: Secrets, ways into pods, other namespaces, other users", async () => {
    const inMtls = "/api/v1/namespaces/mtls";
    const secrets = ["client-curl", "apisix-deployer", "apisix-env", "etcd-client", "etcd-root-password", "etcd-root"];
    const leaf = { spec: { secretName: "x", issuerRef: { name: "etcd", kind: "Issuer" }, dnsNames: ["x"] } };
    const certificate = { apiVersion: "cert-manager.io/v1", kind: "Certificate", metadata: { name: "x" }, ...leaf };
    await refused(
      ["403"],
      toKubernetes("GET", `${inMtls}/secrets`),
      ...secrets.map((name) => toKubernetes("GET", `${inMtls}/secrets/${name}`)),
      toKubernetes("GET", "/api/v1/namespaces/cert-manager/secrets/mtls-edge-root"),
      toKubernetes("POST", `${inMtls}/pods/${pods.apisix}/portforward?ports=9180`),
      toKubernetes("POST", `${inMtls}/pods/etcd-0/exec?command=sh`),
      toKubernetes("POST", `${inMtls}/serviceaccounts/apisix/token`, { spec: {} }),
      toKubernetes("POST", "/apis/cert-manager.io/v1/namespaces/mtls/certificates", certificate),
      toKubernetes("DELETE", `${inMtls}/configmaps/edge-trust`),
      toKubernetes("DELETE", "/apis/networking.k8s.io/v1/namespaces/mtls/networkpolicies/default-deny"),
      { ...toKubernetes("GET", `${inMtls}/secrets`), headers: ["Impersonate-User", "system:admin"] },
    );
  });

  it("gets nothing from etcd: its clients' port, its members' port and its status port", async () => {
    const range = { method: "POST", path: "/v3/kv/range", body: JSON.stringify({ key: "AA==", range_end: "AA==" }) };
    const at = (port: number, more: Partial<Attempt> = {}): Attempt => ({ host: pods.etcd, port, ...range, ...more });
    const tries = (port: number) => [at(port), at(port, edge), at(port, upstream), at(port, { plain: true })];
    const answers = ["alert 116", "alert 48", "alert 48", "ECONNRESET"];
    await refused([...answers, ...answers], ...tries(etcdPorts.client), ...tries(etcdPorts.peer));
    await refused(
      ["404"],
      at(etcdPorts.status, { plain: true }),
      at(etcdPorts.status, { plain: true, path: "/v2/keys" }),
    );
  });

  it("does not reach the Admin API: not at the pod, not through the Service, not through the gateway", async () => {
    const ssl = JSON.stringify({ snis: ["bank.example"], ...edge });
    const put = {
      method: "PUT",
      path: "/apisix/admin/ssls/bank",
      body: ssl,
      headers: ["X-API-KEY", "edd1c9f034335f136f87ad84b625c8f1"],
    };
    const inner = [apisixPorts.admin, 9080, 9090, 9091, 9092];
    await refused(["ECONNREFUSED"], ...inner.map((port) => ({ ...put, ...edge, host: pods.apisix, port })));
    await refused(
      ["404"],
      { ...put, host: pods.apisix, port: apisixPorts.status, plain: true },
      { ...put, host: pods.apisix, port: apisixPorts.status, plain: true, path: "/v1/routes" },
    );
    const through = { ...gateway, ...put, headers: [...(gateway.headers ?? []), ...put.headers] };
    await refused(["403"], { ...through, ...edge }, { ...through, ...edge, method: "GET" });
    await refused(["alert 116", "alert 48"], through, { ...through, ...upstream });
  });

  it("is no client of the gateway's: not with its own leaf, another's name in headers, another SNI or Host", async () => {
    const as = (...headers: readonly string[]): Attempt => ({
      ...gateway,
      ...edge,
      headers: ["Host", "upstream", ...headers],
    });
    const claims = spellings.map((name) => as(name, `Subject="${curl}"`));
    const doubled = as(...spellings.flatMap((name) => [name, `Subject="${curl}"`]));
    const others = ["X-SSL-Client-S-DN", "Ssl-Client-Verify", "X-Forwarded-For", "Forwarded"].map((name) =>
      as(name, curl),
    );
    await refused(["403"], as(), ...claims, doubled, ...others);
    // Under mutual TLS, APISIX answers only where SNI and Host are equal.
    const hosts = ["UPSTREAM", "upstream:443", "upstream.", "localhost", "127.0.0.1", "apisix-admin.mtls.svc"];
    const seen = await fromPod(...hosts.map((host) => ({ ...gateway, ...edge, headers: ["Host", host] })));
    same(
      seen.filter((one) => !("status" in one) || one.status < 400),
      [],
    );
    tally.attempts += seen.length;
    const names = ["", "not-served.example", "apisix-admin.mtls.svc", "upstream.mtls.svc"];
    await refused(["alert 80"], ...names.map((serverName) => ({ ...gateway, ...edge, serverName })));
  });

  it("gets nothing from nginx behind the gateway's back", async () => {
    const nginx = (more: Partial<Attempt>): Attempt => ({ ...gateway, host: pods.upstream, port: nginxPort, ...more });
    const claim = ["Host", "upstream", "X-Forwarded-Client-Cert", `Subject="${curl}"`];
    const service = { host: "upstream.mtls.svc", port: 443, headers: ["Host", "upstream.mtls.svc"] };
    await refused(
      ["400"],
      ...[
        nginx({}),
        nginx(edge),
        nginx(upstream),
        nginx({ ...upstream, headers: claim }),
        nginx({ ...edge, path: "/.verify/x" }),
      ],
      ...[nginx(service), nginx({ ...service, ...edge }), nginx({ ...service, ...upstream })],
    );
    // A client's leaf of the upstream plane, but its subject is not the gateway's.
    await refused(["403"], nginx(caller), nginx({ ...caller, headers: claim }), nginx({ ...service, ...caller }));
  });

  it("reads in the renewer's metrics no key and no password", async () => {
    const [seen] = await fromPod({ host: pods.apisix, port: metricsPort, plain: true, path: "/metrics" });
    ok(seen && "status" in seen && seen.status === 200);
    doesNotMatch(seen.body, /PRIVATE KEY|BEGIN/);
    const core = new Cluster().config.makeApiClient(CoreV1Api);
    const { data = {} } = await core.readNamespacedSecret({ namespace: "mtls", name: "apisix-env" });
    const values = Object.values(data).map((value) => Buffer.from(value, "base64").toString());
    same(
      values.filter((value) => seen.body.includes(value)),
      [],
    );
    ok(values.length > 2);
    await refused(["404"], { host: pods.apisix, port: metricsPort, plain: true, path: "/" });
  });

  /** Has the tenant ask for them all; it must get none. */
  async function withheld(...wanted: readonly Wanted[]): Promise<void> {
    const got = await Promise.all(wanted.map((one) => obtained(one, 5)));
    tally.attempts += got.length;
    tally.answered += got.filter((pair) => pair !== undefined).length;
    same(
      wanted.filter((_, index) => got[index] !== undefined),
      [],
    );
  }

  it("gets no leaf from an issuer of the platform's own planes", async () => {
    const planes = ["etcd", "etcd-peer", "admin"];
    const asked = ["Issuer", "ClusterIssuer"].flatMap((kind) => planes.map((name) => ({ kind, name })));
    await withheld(
      ...asked.map((issuerRef) => ({
        name: `${issuerRef.kind.toLowerCase()}-${issuerRef.name}`,
        ...{ issuerRef, usages: ["client auth"] },
      })),
    );
  });

  it("gets nobody else's leaf: not a caller's, not the gateway's, not a host's, not an upstream's", async () => {
    const client = (plane: string) => ({ issuerRef: issuer(plane), usages: ["client auth"] });
    const server = (plane: string, name: string) => ({
      ...{ issuerRef: issuer(plane), usages: ["server auth"], dnsNames: [name] },
    });
    await withheld(
      { name: "a-caller", namespace: "mtls", serviceAccount: "curl", ...client("edge") },
      { name: "a-caller-elsewhere", namespace: "web", serviceAccount: "cart", ...client("edge") },
      { name: "the-gateway", namespace: "mtls", serviceAccount: "apisix", ...client("upstream") },
      { name: "the-host", ...server("edge", "upstream") },
      { name: "a-host", ...server("edge", "bank.example") },
      { name: "the-upstream", ...server("upstream", "upstream.mtls.svc") },
      { name: "for-both-sides", ...client("edge"), usages: ["client auth", "server auth"] },
      { name: "an-authority", ...client("edge"), isCA: true },
    );
  });

  it("changes nothing by lying on its own pod: no Service sends it requests, and nothing is to be updated or put right", async () => {
    const addresses = "{.items[*].endpoints[*].addresses[*]}";
    const [served, own] = await Promise.all([
      must("kubectl", ["-n", "mtls", "get", "endpointslices", "-o", `jsonpath=${addresses}`]),
      must("kubectl", ["-n", tenant, "get", "pod", tenant, "-o", "jsonpath={.status.podIP}"]),
    ]);
    const sent = served.split(" ");
    ok(sent.includes(pods.apisix) && own.length > 0);
    equal(sent.includes(own), false);
    const verified = await run(process.execPath, ["tools/verify/cli.ts"]);
    equal(verified.code, 0, verified.output);
  });

  it("is told to the upstream as itself once it is on the list, whatever it says, and is refused again when it is off", async () => {
    await admit([`${tenant}/${tenant}`]);
    const told = { ...gateway, ...edge, path: "/.verify/whoami" };
    const claims = [...spellings, "Client-Cert", "client_cert"].map((name) => [name, `Subject="${curl}"`]);
    const seen = await fromPod(
      ...[[], ...claims, [...claims, ...claims].flat()].map((said) => ({
        ...told,
        headers: ["Host", "upstream", ...said],
      })),
    );
    const [first] = seen;
    ok(first && "status" in first && first.status === 200);
    const subject = subjectOf({ trustDomain: "dev.mtls.internal", namespace: tenant, serviceAccount: tenant });
    ok(first.body.startsWith(`Subject="${subject}";Cert="`), first.body);
    same(new Set(seen.map((one) => JSON.stringify(one))).size, 1);
    await admit([]);
    await refused(["403"], told);
  });

  it("has succeeded in none of its attempts", () => {
    console.log(`      ${tally.answered} of ${tally.attempts} succeeded`);
    equal(tally.answered, 0);
    ok(tally.attempts > 60);
  });
}
