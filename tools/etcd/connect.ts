// How the tool connects to etcd, by the references in the stack's outputs: as root for members, as APISIX for keys.

import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";

import type { PlatformOutputs } from "../../outputs.ts";
import { type StoreCall, StoreSession } from "../verify/storeSession.ts";
import { KubernetesPods, type MemberPods } from "./pods.ts";

/** etcd as its root user, and its pods. */
export async function asRoot(
  cluster: Cluster,
  { store }: PlatformOutputs,
): Promise<{ readonly call: StoreCall; readonly pods: MemberPods }> {
  const { administrator, namespace, selector } = store;
  if (administrator === undefined) {
    throw new Error("The platform was deployed by a release without tools/etcd. Run pulumi up first.");
  }
  const [ca, pair, password, { workloads }] = await Promise.all([
    cluster.trustBundle(store.trust),
    cluster.keyPair(administrator.certificate),
    cluster.secretValue(administrator.password),
    cluster.workloads(namespace, selector),
  ]);
  const set = workloads.map(({ name }) => /^statefulset\/(.+)$/.exec(name)?.[1]).find((name) => name !== undefined);
  if (set === undefined) {
    throw new Error(`Namespace ${namespace} has no StatefulSet ${selector}. Run pulumi up --refresh to recreate it.`);
  }
  const { call } = new StoreSession({ access: cluster, endpoint: store, client: { ca, pair }, user: "root", password });
  return { call, pods: new KubernetesPods(cluster.config, { namespace, set }) };
}

/** etcd as APISIX, which may access only its own keys. */
export async function asApisix(cluster: Cluster, { store }: PlatformOutputs): Promise<StoreSession> {
  const [ca, pair, password] = await Promise.all([
    cluster.trustBundle(store.trust),
    cluster.keyPair(store.certificate),
    cluster.secretValue(store.password),
  ]);
  return new StoreSession({ access: cluster, endpoint: store, client: { ca, pair }, user: store.user, password });
}
