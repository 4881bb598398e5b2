// The Kubernetes side of etcd's members: StatefulSet, pods, claims, and bootstrap settings.

import {
  AppsV1Api,
  CoreV1Api,
  type KubeConfig,
  PatchStrategy,
  setHeaderOptions,
  type V1Pod,
} from "@kubernetes/client-node";
import { until } from "@mtls-everywhere/cluster-access";
import { found, reasonOf, statusOf } from "@mtls-everywhere/cluster-access/cluster";

import { etcdPeerUrl, etcdStart, etcdStartName, type StartState } from "../../components/etcdPlan.ts";
import type { Naming } from "./steps.ts";

/** What a change of members needs from the cluster. */
export interface MemberPods extends Naming {
  readonly namespace: string;
  /** Replicas of the StatefulSet. */
  replicas(): Promise<number>;
  scale(replicas: number): Promise<void>;
  /** Sets how a member without data starts from now on. */
  startBy(members: readonly string[], state: StartState): Promise<void>;
  /** Deletes the claim and pod of a member: the StatefulSet recreates both. */
  drop(member: string): Promise<void>;
  /** Waits until the dropped pod and claim have been recreated. */
  renewed(member: string, signal: AbortSignal): Promise<void>;
  /** Deletes the claim of a pod that the StatefulSet no longer has, and waits until both are gone. */
  forget(member: string, signal: AbortSignal): Promise<void>;
}

/** Milliseconds for a pod and its volume to be created or deleted. */
const patience = 180_000;
/** Pulumi's provider takes over fields of managers named after `kubectl`, so the next `up` meets no conflict. */
const fieldManager = "kubectl-mtls-everywhere-etcd";

export class KubernetesPods implements MemberPods {
  readonly #core: CoreV1Api;
  readonly #apps: AppsV1Api;
  readonly namespace: string;
  readonly #set: string;
  /** UIDs of dropped objects. */
  readonly #dropped = new Set<string>();

  constructor(config: KubeConfig, { namespace, set }: { readonly namespace: string; readonly set: string }) {
    this.#core = config.makeApiClient(CoreV1Api);
    this.#apps = config.makeApiClient(AppsV1Api);
    this.namespace = namespace;
    this.#set = set;
  }

  name(ordinal: number): string {
    return `${this.#set}-${ordinal}`;
  }

  peerUrl(member: string): string {
    return etcdPeerUrl(this.#set, this.namespace, member);
  }

  async replicas(): Promise<number> {
    const { spec } = await asked("get", "statefulsets", () =>
      this.#apps.readNamespacedStatefulSet(this.#at(this.#set)),
    );
    return spec?.replicas ?? 1;
  }

  async scale(replicas: number): Promise<void> {
    await asked("patch", "statefulsets", () =>
      this.#apps.patchNamespacedStatefulSet(
        { ...this.#at(this.#set), fieldManager, body: { spec: { replicas } } },
        merge,
      ),
    );
  }

  async startBy(members: readonly string[], state: StartState): Promise<void> {
    const data = etcdStart(this.#set, this.namespace, members, state);
    const at = this.#at(etcdStartName(this.#set));
    await asked("patch", "configmaps", () =>
      this.#core.patchNamespacedConfigMap({ ...at, fieldManager, body: { data } }, merge),
    );
  }

  async drop(member: string): Promise<void> {
    const [pod, claim] = await Promise.all([this.#pod(member), this.#claim(member)]);
    for (const { metadata } of [pod, claim].filter((object) => object !== undefined)) {
      this.#dropped.add(metadata?.uid ?? "");
    }
    await this.#deleteClaim(member);
    await this.#deletePod(member);
  }

  async renewed(member: string, signal: AbortSignal): Promise<void> {
    const done = await until(
      async () => {
        const [pod, claim] = await Promise.all([this.#pod(member), this.#claim(member)]);
        const isNew = (object: typeof pod | typeof claim) =>
          object?.metadata?.deletionTimestamp === undefined && !this.#dropped.has(object?.metadata?.uid ?? "");
        if (pod && claim && isNew(pod) && isNew(claim)) return true;
        // Created while the old claim was still terminating, it would wait for that claim for ever.
        if (pod && isNew(pod) && isWaiting(pod)) await this.#deletePod(member);
        return false;
      },
      { within: patience, pause: 2_000, signal },
    );
    if (!done) throw new Error(this.#late(member, "recreated"));
  }

  async forget(member: string, signal: AbortSignal): Promise<void> {
    await this.#deleteClaim(member);
    const done = await until(async () => !(await this.#pod(member)) && !(await this.#claim(member)), {
      ...{ within: patience, pause: 500, signal },
    });
    if (!done) throw new Error(this.#late(member, "deleted"));
  }

  #late(member: string, what: string): string {
    const look = `kubectl -n ${this.namespace} describe pod/${member} pvc/${claimOf(member)}`;
    return `The pod and the volume of ${member} have not been ${what} after ${patience / 1000} s. To see why: ${look}`;
  }

  #pod(member: string) {
    return asked("get", "pods", () => found(() => this.#core.readNamespacedPod(this.#at(member))));
  }

  #claim(member: string) {
    const at = this.#at(claimOf(member));
    return asked("get", claims, () => found(() => this.#core.readNamespacedPersistentVolumeClaim(at)));
  }

  async #deletePod(member: string): Promise<void> {
    await asked("delete", "pods", () => found(() => this.#core.deleteNamespacedPod(this.#at(member))));
  }

  async #deleteClaim(member: string): Promise<void> {
    const at = this.#at(claimOf(member));
    await asked("delete", claims, () => found(() => this.#core.deleteNamespacedPersistentVolumeClaim(at)));
  }

  #at(name: string) {
    return { namespace: this.namespace, name };
  }
}

const merge = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);
const claims = "persistentvolumeclaims";

function claimOf(member: string): string {
  return `data-${member}`;
}

function isWaiting({ status }: V1Pod): boolean {
  return (
    status?.phase === "Pending" &&
    !status.conditions?.some((one) => one.type === "PodScheduled" && one.status === "True")
  );
}

/** The answer, or an error that names the missing permission or gives Kubernetes' reason. */
async function asked<T>(verb: string, resource: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const reason =
      statusOf(error) === 403
        ? `grant the kubeconfig's user "${verb}" on ${resource} (docs/roles.md)`
        : reasonOf(error);
    throw new Error(`Could not ${verb} ${resource}: ${reason}.`, { cause: error });
  }
}
