// The rotation reader against an API server and pods on loopback: what counts as the platform's, and what it says without a right.

import { deepStrictEqual as same, equal, match, rejects } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import tls from "node:tls";

import * as pulumi from "@pulumi/pulumi";

import { digestOf } from "../../cluster-access/certificates.ts";
import { Cluster } from "../../cluster-access/cluster.ts";
import { adminEndpoint } from "../../components/apisix.ts";
import { checkRotation } from "../../rotation/check.ts";
import { objectOf } from "../../rotation/gateway.ts";
import { leavesOf } from "../../rotation/leaves.ts";
import { type LivePlatform, RotationReader } from "../../rotation/reader.ts";
import { type Plane, planes } from "../../vocabulary/planes.ts";
import { Authority } from "../support/authorities.ts";
import { KubernetesApi } from "../support/kubernetesApi.ts";

const platform: LivePlatform = {
  ...{ namespace: "mtls", founder: "1", host: "site.example" },
  admin: (running) => adminEndpoint("apisix", { namespace: "mtls", cluster: "uid" }, running),
};
const library = { "app.kubernetes.io/part-of": "mtls-everywhere" };
const behind = { "mtls-everywhere/upstream": "true" };

describe("what a rotation reads", function () {
  this.timeout(60_000);
  let api: KubernetesApi;
  let cluster: Cluster;
  let first: Authority;
  let second: Authority;
  let foreign: Authority;
  const servers: tls.Server[] = [];

  before(async () => {
    api = await KubernetesApi.start("uid");
    cluster = new Cluster({ kubeconfig: api.kubeconfig });
    [first, second, foreign] = await Promise.all([
      Authority.create("first"),
      Authority.create("second"),
      Authority.create("foreign"),
    ]);
  });
  after(async () => {
    for (const server of servers) server.close();
    await api.stop();
  });
  beforeEach(() => {
    api.answers.clear();
    for (const [plural, items] of Object.entries({ certificates: [], certificaterequests: [] })) {
      api.answers.set(`/apis/cert-manager.io/v1/${plural}`, { items });
      api.answers.set(`/apis/cert-manager.io/v1/namespaces/mtls/${plural}`, { items });
    }
    api.answers.set("pods", { items: [] });
    for (const plane of planes) trusts("mtls", plane, first, second);
    list();
  });

  const maps: object[] = [];
  /** A plane's bundle in a namespace. */
  function trusts(namespace: string, plane: Plane, ...authorities: Authority[]) {
    const name = `${plane}-trust`;
    const generations = Object.fromEntries(authorities.map(({ root }, index) => [String(index + 1), [digestOf(root)]]));
    const map = {
      metadata: {
        ...{ namespace, name, labels: { "mtls-everywhere/trust": plane } },
        annotations: namespace === "mtls" ? { "mtls-everywhere/generations": JSON.stringify(generations) } : {},
      },
      data: { "ca.crt": authorities.map(({ root }) => root).join("\n") },
    };
    api.answers.set(`namespaces/${namespace}/configmaps/${name}`, map);
    maps.push(map);
  }
  function list() {
    api.answers.set("configmaps", { items: maps.splice(0) });
  }

  /** A port that serves a leaf from this authority to clients with a certificate from it. */
  async function serve(authority: Authority): Promise<number> {
    const pair = await authority.leaf({ dnsNames: ["x"], usages: ["server auth"] });
    const server = tls.createServer({ ...pair, ca: authority.root, requestCert: true, rejectUnauthorized: true });
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  const pod = (namespace: string, name: string, labels: object, annotations: object = {}, port = 8443) => ({
    metadata: { namespace, name, labels, annotations },
    spec: { containers: [{ ports: [{ name: "https", containerPort: port }] }] },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  });
  const started = (...authorities: Authority[]) => ({
    "mtls-everywhere/serves": "8443=upstream",
    "mtls-everywhere/roots.upstream": authorities.map(({ root }) => digestOf(root)).join(","),
  });

  it("is the generations of the platform's own bundles, by their record", async () => {
    const { roots } = await new RotationReader(cluster, platform).ownBundles();
    const both = { "1": [digestOf(first.root)], "2": [digestOf(second.root)] };
    same(roots, Object.fromEntries(planes.map((plane) => [plane, both])));
  });

  it("is the stack's first generation if 0.1.0 left no record, and those that its roots' subjects name", async () => {
    const named = await Authority.create("etcd root 2027 of");
    api.answers.set("namespaces/mtls/configmaps/etcd-trust", { data: { "ca.crt": first.root } });
    api.answers.set("namespaces/mtls/configmaps/admin-trust", { data: { "ca.crt": named.root } });
    api.answers.set("namespaces/mtls/configmaps/edge-trust", { data: { "ca.crt": "emptied" } });
    for (const gone of ["etcd-peer", "upstream"]) api.answers.set(`namespaces/mtls/configmaps/${gone}-trust`, 404);
    const { roots } = await new RotationReader(cluster, { ...platform, founder: "2026" }).ownBundles();
    same(roots, { etcd: { "2026": [digestOf(first.root)] }, admin: { "2027": [digestOf(named.root)] }, edge: {} });
  });

  it("is every pod and bundle of the platform, and none of another's", async () => {
    for (const plane of planes) trusts("mtls", plane, first, second);
    trusts("shop", "upstream", first);
    trusts("theirs", "upstream", foreign);
    list();
    const [old, renewed, elsewhere] = await Promise.all([serve(first), serve(second), serve(foreign)]);
    api.ports.set("mtls/upstream-a:8443", renewed);
    api.ports.set("shop/shop-a:8443", old);
    api.ports.set("shop/own-a:8443", old);
    api.ports.set("theirs/silent-a:8443", elsewhere);
    const gone = pod("shop", "gone", { ...library, ...behind }, started(first));
    api.answers.set("pods", {
      items: [
        pod("mtls", "upstream-a", { ...library, ...behind }, started(first, second)),
        pod("shop", "shop-a", { ...library, ...behind }, started(first)),
        pod("shop", "own-a", behind),
        pod("theirs", "upstream-a", { ...library, ...behind }, started(foreign)),
        pod("theirs", "silent-a", behind),
        pod("theirs", "etcd-0", library),
        { ...gone, metadata: { ...gone.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } },
      ],
    });
    const reader = new RotationReader(cluster, platform);
    const live = await reader.live(await reader.ownBundles());
    const digests = (...authorities: Authority[]) => authorities.map(({ root }) => digestOf(root));
    same(live.pods, [
      { namespace: "mtls", name: "upstream-a", started: { upstream: digests(first, second) } },
      { namespace: "shop", name: "shop-a", started: { upstream: digests(first) } },
      { namespace: "shop", name: "own-a" },
    ]);
    same(
      live.bundles.filter(({ plane }) => plane === "upstream"),
      [
        { plane: "upstream", namespace: "mtls", name: "upstream-trust", roots: digests(first, second) },
        { plane: "upstream", namespace: "shop", name: "upstream-trust", roots: digests(first) },
      ],
    );
    const served = { port: 8443, plane: "upstream" };
    same(live.servers, [
      { namespace: "mtls", pod: "upstream-a", ...served, generation: "2" },
      { namespace: "shop", pod: "shop-a", ...served, generation: "1" },
      { namespace: "shop", pod: "own-a", ...served, generation: "1" },
    ]);
  });

  it("says why a server that does not answer is not checked", async () => {
    api.ports.set("mtls/upstream-a:8443", 1);
    api.answers.set("pods", { items: [pod("mtls", "upstream-a", { ...library, ...behind }, started(first, second))] });
    const reader = new RotationReader(cluster, platform, 500);
    const { servers } = await reader.live(await reader.ownBundles());
    equal(servers.length, 1);
    match(servers[0]?.unchecked ?? "", /\w/);
  });

  const check = (active: string, trusted: string[]) => checkRotation(cluster, platform, { active, trusted });
  const refused = (words: RegExp) => (error: Error) => {
    equal(pulumi.RunError.isInstance(error), true, error.stack);
    match(error.message, words);
    return true;
  };

  it("is just the bundles while there is one generation and nothing changes", async () => {
    for (const plane of planes) trusts("mtls", plane, first);
    // Any list would be forbidden.
    api.answers.set("configmaps", 403);
    api.answers.set("pods", 403);
    for (const path of ["", "namespaces/mtls/"]) api.answers.set(`/apis/cert-manager.io/v1/${path}certificates`, 403);
    await check("1", ["1"]);
    await check("1", ["1", "2"]);
  });

  it("refuses what was never prepared while the platform's leaves are from another generation", async () => {
    for (const plane of planes) trusts("mtls", plane, first);
    const leaf = (issuer: string) => ({
      items: [{ metadata: { namespace: "mtls", name: "leaf" }, spec: { issuerRef: { name: issuer, kind: "Issuer" } } }],
    });
    api.answers.set("/apis/cert-manager.io/v1/namespaces/mtls/certificates", leaf("etcd"));
    await rejects(
      check("2", ["1", "2"]),
      refused(/^Generation "2" of the roots cannot become active: it was never prepared/),
    );
    // The update repairs a bundle that somebody has broken.
    trusts("mtls", "etcd", foreign);
    api.answers.set("namespaces/mtls/configmaps/edge-trust", { data: { "ca.crt": "" } });
    await check("1", ["1"]);
  });

  it("refuses if a right to look into other namespaces is missing, and names it", async () => {
    api.answers.set("pods", 403);
    await rejects(
      check("2", ["2"]),
      refused(
        /^The root rotation cannot be checked: The kubeconfig's user may not read Pods: grant it "list" on pods in all namespaces \(docs\/roles\.md\)\.\nNothing was changed\.$/,
      ),
    );
  });

  it("refuses a retirement, naming the leaves that need the generation", async () => {
    const certificate = (namespace: string, name: string, issuer: string) => ({
      metadata: { namespace, name, generation: 1 },
      spec: { issuerRef: { name: issuer, kind: "ClusterIssuer", group: "cert-manager.io" } },
      status: { conditions: [{ type: "Ready", status: "True", observedGeneration: 1 }] },
    });
    api.answers.set("/apis/cert-manager.io/v1/certificates", {
      items: [certificate("shop", "shop-server", "mtls-upstream"), certificate("mtls", "gateway", "mtls-edge-2")],
    });
    await rejects(
      check("2", ["2"]),
      refused(
        /yet\. It is still needed.*\n  Certificate shop\/shop-server names the issuer of generation "1"\nNothing/,
      ),
    );
  });
});

describe("a certificate object in the gateway", () => {
  it("tells whose leaf it holds, by plane, and by which roots it accepts clients", async () => {
    const [edge, upstream] = await Promise.all([Authority.create("edge"), Authority.create("upstream")]);
    const roots = {
      edge: { "1": [new X509Certificate(edge.root)] },
      upstream: { "2": [new X509Certificate(upstream.root)] },
    };
    const [site, caller] = await Promise.all([edge.leaf({ dnsNames: ["x"] }), upstream.leaf({ subject: "CN=x" })]);
    const of = (body: object) => objectOf({ id: "a", ...body }, roots);
    same(
      [
        of({ cert: site.cert, client: { ca: `${edge.root}\n${upstream.root}` } }),
        of({ cert: caller.cert, type: "client" }),
        of({ cert: caller.cert }),
        of({ cert: "none" }),
      ],
      [
        { id: "a", plane: "edge", generation: "1", accepts: [digestOf(edge.root), digestOf(upstream.root)] },
        { id: "a", plane: "upstream", generation: "2" },
        { id: "a", plane: "edge" },
        { id: "a", plane: "edge" },
      ],
    );
  });
});

describe("a leaf's generation", () => {
  const issuers = { namespace: "mtls", founder: "1" };
  const certificate = (issuer: string, change: object = {}, kind = "Issuer", namespace = "mtls") => ({
    metadata: { namespace, name: "leaf", generation: 2 },
    spec: { issuerRef: { name: issuer, kind, group: "cert-manager.io" } },
    status: { revision: 1, conditions: [{ type: "Ready", status: "True", observedGeneration: 2 }] },
    ...change,
  });
  const request = (issuer: string, revision: string, change: object = {}) => ({
    metadata: {
      ...{ namespace: "mtls", name: `leaf-${revision}` },
      annotations: { "cert-manager.io/certificate-name": "leaf", "cert-manager.io/certificate-revision": revision },
    },
    spec: { issuerRef: { name: issuer, kind: "Issuer" } },
    status: { certificate: "UEVN" },
    ...change,
  });
  const leaf = { kind: "Certificate", namespace: "mtls", name: "leaf" } as const;

  it("is that of the issuer, as distinct from other planes' and the roots' own", () => {
    const of = (...args: Parameters<typeof certificate>) =>
      leavesOf(issuers, [certificate(...args)], []).map(({ plane, wanted }) => `${plane} ${wanted}`);
    same(
      [
        of("etcd"),
        of("etcd-2"),
        of("etcd-peer"),
        of("etcd-peer-2"),
        of("mtls-edge-2027", {}, "ClusterIssuer", "shop"),
        of("etcd-self-signed"),
        of("etcd-2-self-signed"),
        of("etcd", {}, "Issuer", "shop"),
        of("other-edge", {}, "ClusterIssuer"),
      ],
      [["etcd 1"], ["etcd 2"], ["etcd-peer 1"], ["etcd-peer 2"], ["edge 2027"], [], [], [], []],
    );
  });

  it("in its Secret is the newest signed request's until the Certificate is ready", () => {
    const waiting = { status: { revision: 1, conditions: [{ type: "Ready", status: "False" }] } };
    const stale = { status: { revision: 1, conditions: [{ type: "Ready", status: "True", observedGeneration: 1 }] } };
    const unsigned = request("etcd-2", "9", { status: {} });
    const of = (change: object, requests: ReturnType<typeof request>[]) =>
      leavesOf(issuers, [certificate("etcd-2", change)], requests)[0];
    const base = { ...leaf, plane: "etcd", wanted: "2" };
    same(of({}, []), { ...base, issued: "2" });
    same(of(waiting, [request("etcd-2", "1"), request("etcd", "10"), unsigned]), { ...base, issued: "1" });
    same(of(stale, [request("etcd", "1")]), { ...base, issued: "1" });
    same(of(waiting, []), { ...base, unsure: true });
    same(of({ status: {} }, []), base);
  });

  it("counts for a request that belongs to no Certificate until what was signed has expired", async () => {
    const authority = await Authority.create("upstream");
    const lone = async (lifetime: number) => ({
      metadata: { namespace: "mtls", name: "lone" },
      spec: { issuerRef: { name: "etcd", kind: "Issuer" } },
      status: { certificate: Buffer.from((await authority.leaf({ lifetime })).cert).toString("base64") },
    });
    const found = {
      kind: "CertificateRequest",
      namespace: "mtls",
      name: "lone",
      plane: "etcd",
      wanted: "1",
      issued: "1",
    };
    same(leavesOf(issuers, [], [await lone(60_000)]), [found]);
    same(leavesOf(issuers, [], [await lone(-1_000)]), []);
  });
});
