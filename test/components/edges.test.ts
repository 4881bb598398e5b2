// Who may reach whom in the platform, computed from the planned policies as a network plugin would.

import { deepStrictEqual as same } from "node:assert/strict";

import { edgeBetween, podsOf } from "../../components/edges.ts";
import { keptState } from "../support/keptState.ts";
import { type NetworkObject, type Place, reachable } from "../support/reach.ts";
import { plan, type PlanOptions } from "./mockedPlatform.ts";

const elsewhere: readonly Place[] = [
  { name: "dns", namespace: "kube-system", labels: { "k8s-app": "kube-dns" } },
  { name: "dns-cache", address: "169.254.20.10" },
  { name: "api-server", address: "192.0.2.1" },
  { name: "internet", address: "198.51.100.7" },
  { name: "stranger", namespace: "mtls", labels: { "app.kubernetes.io/name": "stranger" } },
  { name: "prometheus", namespace: "monitoring", labels: { "app.kubernetes.io/name": "prometheus" } },
  { name: "shop", namespace: "shop", labels: { "app.kubernetes.io/name": "shop", "mtls-everywhere/upstream": "true" } },
  // A pod with one of our names in another namespace is a different one.
  { name: "other-apisix", namespace: "shop", labels: { "app.kubernetes.io/name": "apisix" } },
  { name: "other-etcd", namespace: "shop", labels: { "app.kubernetes.io/name": "etcd" } },
];

const nameService = (from: string) =>
  ["dns", "dns-cache"].flatMap((to) => ["TCP 53", "UDP 53"].map((port) => `${from} -> ${to} ${port}`));
/** Clients come from anywhere but the namespace itself, where pods without an edge can connect to nothing. */
const toGateway = elsewhere.filter(({ name }) => name !== "stranger").map(({ name }) => `${name} -> apisix TCP 9443`);
const apiServer = "apisix -> api-server TCP 6443";
const diagram = [
  "apisix -> etcd TCP 2379",
  "apisix -> shop any port",
  "apisix -> upstream TCP 8443",
  apiServer,
  ...["apisix", "etcd"].flatMap(nameService),
  "etcd -> etcd TCP 2380",
  ...toGateway,
].sort();

/** What a plan opens. */
async function opened(changes: Readonly<Record<string, unknown>> = {}, options?: PlanOptions): Promise<string[]> {
  const { resources } = await plan("dev", changes, options);
  return reachable(
    resources.filter(isNetworkObject).map(({ inputs }) => inputs as NetworkObject),
    elsewhere,
  );
}

function isNetworkObject({ type }: { readonly type: string }): boolean {
  return /^kubernetes:(apps|networking\.k8s\.io)\//.test(type);
}

describe("the edges between the platform's pods", () => {
  it("are those of the diagram, and no others", async () => {
    same(await opened(), diagram);
  });

  it("are those of 0.1.0, plus the renewer's to the API server", () => {
    const objects = keptState("0.1.0").filter(isNetworkObject);
    const before = reachable(
      objects.map(({ inputs }) => inputs as unknown as NetworkObject),
      elsewhere,
    );
    same([...before, apiServer].sort(), diagram);
  });

  it("with monitoring let Prometheus fetch the metrics", async () => {
    same(await opened({ monitoring: { install: true } }), [...diagram, "prometheus -> apisix TCP 9464"].sort());
  });
});

describe("an edge", () => {
  const apisix = podsOf("apisix", "mtls");
  const pods = (name: string) => ({ podSelector: { matchLabels: { "app.kubernetes.io/name": name } } });
  const inside = (namespace: string) => ({
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
  });
  const ports = [{ protocol: "TCP", port: 2379 }];

  it("is open at both ends, for one port", () => {
    const etcd = podsOf("etcd", "mtls");
    same(edgeBetween(apisix, etcd, 2379), [
      {
        metadata: { name: "apisix-to-etcd", namespace: "mtls" },
        spec: { ...pods("apisix"), policyTypes: ["Egress"], egress: [{ to: [pods("etcd")], ports }] },
      },
      {
        metadata: { name: "etcd-from-apisix", namespace: "mtls" },
        spec: { ...pods("etcd"), policyTypes: ["Ingress"], ingress: [{ from: [pods("apisix")], ports }] },
      },
    ]);
  });

  it("across namespaces is in both policies, each naming the other namespace", () => {
    const [there, here] = edgeBetween(apisix, podsOf("etcd", "stores"), 2379);
    same(there!.spec.egress, [{ to: [{ ...inside("stores"), ...pods("etcd") }], ports }]);
    same(
      { namespace: here!.metadata.namespace, ingress: here!.spec.ingress },
      { namespace: "stores", ingress: [{ from: [{ ...inside("mtls"), ...pods("apisix") }], ports }] },
    );
  });
});
