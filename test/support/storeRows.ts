// What tools/etcd refuses, for the table of wrong inputs: each with a small etcd in memory, and the whole message.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Cluster } from "../../cluster-access/cluster.ts";
import { type Change, replace, scale } from "../../tools/etcd/change.ts";
import { asRoot } from "../../tools/etcd/connect.ts";
import { KubernetesPods, type MemberPods } from "../../tools/etcd/pods.ts";
import { read } from "../../tools/etcd/snapshot.ts";
import type { StoreCall } from "../../tools/verify/storeSession.ts";
import type { KubernetesApi } from "./kubernetesApi.ts";
import { outputs } from "./outputs.ts";

/** Where they are tried. */
export interface StoreWorld {
  readonly api: KubernetesApi;
  readonly cluster: Cluster;
  readonly folder: string;
}

const peerUrl = (name: string) => `https://${name}.etcd-peers.mtls.svc:2380`;

/** An etcd with a number of pods, some of them silent, and possibly with members elsewhere. */
function changeOf(pods: number, { silent = [], others = [] }: { silent?: string[]; others?: object[] } = {}): Change {
  const names = Array.from({ length: pods }, (_, ordinal) => `etcd-${ordinal}`);
  const members = names.map((name, id) => ({ ID: `${id}`, name, peerURLs: [peerUrl(name)] }));
  const call = async (path: string, _body: object, { member = "" }: { member?: string }) => {
    if (path === "cluster/member/list") return { members: [...members, ...others] };
    if (path !== "maintenance/status" || silent.includes(member)) throw new Error("no answer");
    return { header: { member_id: member.split("-")[1] }, leader: "1", version: "3.6.15" };
  };
  return {
    call: call as StoreCall,
    pods: {
      ...{ namespace: "mtls", name: (ordinal: number) => `etcd-${ordinal}`, peerUrl, replicas: async () => pods },
    } as MemberPods,
    signal: new AbortController().signal,
    onStep: () => {},
    limits: { answer: 1, change: 1 },
  };
}

/** The rows; `world` is asked when one is tried. */
export function storeRows(world: () => StoreWorld) {
  const said = (act: () => Promise<unknown>) => () =>
    act().then(
      () => "It was accepted.",
      (error: Error) => error.message.replaceAll(world().folder, "/backup"),
    );
  const snapshotOf = (content: object) => {
    const file = join(world().folder, "etcd.json");
    writeFileSync(file, JSON.stringify(content));
    return file;
  };
  return [
    {
      input: "a member that does not exist (case 8)",
      provoke: said(() => replace(changeOf(3), "etcd-3")),
      message: "There is no member etcd-3. The members are etcd-0 to etcd-2.",
    },
    {
      input: "a replacement that would leave too few members (case 8)",
      provoke: said(() => replace(changeOf(3, { silent: ["etcd-2"] }), "etcd-1")),
      message:
        "etcd-1 cannot be replaced: 1 of the other members is healthy, and 2 must be. Nothing was changed. docs/etcd.md says what to do when too many are lost.",
    },
    {
      input: "scaling while a member is down (case 8)",
      provoke: said(() => scale(changeOf(3, { silent: ["etcd-1"] }), 5)),
      message:
        "etcd-1 does not answer, and members are added or removed only while all of them are healthy. Nothing was changed. If its volume is lost: node tools/etcd/cli.ts replace etcd-1",
    },
    {
      input: "an etcd without an answering member (case 8)",
      provoke: said(() => scale(changeOf(1, { silent: ["etcd-0"] }), 3)),
      message:
        "No etcd member answers and has a leader. Without a majority, etcd cannot be changed: docs/etcd.md says how to restore a snapshot.",
    },
    {
      input: "an etcd member that is not a pod of the platform (case 8)",
      provoke: said(() => scale(changeOf(1, { others: [{ ID: "9", peerURLs: ["https://elsewhere:2380"] }] }), 3)),
      message:
        "etcd has a member that is not a pod of this platform: 9 at https://elsewhere:2380. Find out who added it; to remove it: etcdctl member remove 9",
    },
    {
      input: "a user who may not change etcd's StatefulSet",
      provoke: said(async () => {
        const { api, cluster } = world();
        const { onWrite } = api;
        api.onWrite = () => 403;
        await new KubernetesPods(cluster.config, { namespace: "mtls", set: "etcd" }).scale(3).finally(() => {
          api.onWrite = onWrite;
        });
      }),
      message: 'Could not patch statefulsets: grant the kubeconfig\'s user "patch" on statefulsets (docs/roles.md).',
    },
    {
      input: "outputs of a release without tools/etcd",
      provoke: said(() => {
        const { administrator: _, ...store } = outputs.store;
        return asRoot(world().cluster, { ...outputs, store });
      }),
      message: "The platform was deployed by a release without tools/etcd. Run pulumi up first.",
    },
    {
      input: "a file that is not a snapshot",
      provoke: said(() => read(snapshotOf({}), "/apisix")),
      message: "/backup/etcd.json is not a snapshot taken by tools/etcd, or is incomplete. Nothing was changed.",
    },
    {
      input: "a snapshot of another prefix",
      provoke: said(() =>
        read(
          snapshotOf({
            ...{ format: "mtls-everywhere/etcd-keys/1", cluster: "uid", prefix: "/gateway", revision: "7", keys: [] },
          }),
          "/apisix",
        ),
      ),
      message: "/backup/etcd.json has keys under /gateway, but this platform's are under /apisix. Nothing was changed.",
    },
  ];
}
