// Whether rollouts have finished, and what they still wait for, from the status that Kubernetes reports.

import type { V1Deployment, V1StatefulSet } from "@kubernetes/client-node";

/** Some workloads of a namespace. */
export interface Workloads {
  readonly workloads: readonly Workload[];
  /** Pods that are being deleted; they may still answer for a while. */
  readonly leaving: readonly string[];
}

export interface Workload {
  /** As kubectl spells it: `deployment/apisix`. */
  readonly name: string;
  /** Whether the status reflects the newest specification. */
  readonly observed: boolean;
  /** How many pods there should be, and how many there are of each kind. */
  readonly wanted: number;
  readonly present: number;
  readonly updated: number;
  readonly ready: number;
}

export function workloadOf(kind: string, { metadata, spec, status }: V1Deployment | V1StatefulSet): Workload {
  return {
    name: `${kind}/${metadata?.name}`,
    observed: (status?.observedGeneration ?? 0) >= (metadata?.generation ?? 0),
    wanted: spec?.replicas ?? 1,
    present: status?.replicas ?? 0,
    updated: status?.updatedReplicas ?? 0,
    ready: status?.readyReplicas ?? 0,
  };
}

/** What is still rolling, in words; empty when nothing is. */
export function rolling({ workloads, leaving }: Workloads): string[] {
  return [
    ...workloads.flatMap(({ name, observed, wanted, present, updated, ready }) => {
      if (!observed) return [`${name} is about to roll`];
      const settled = present === wanted && updated === wanted && ready === wanted;
      return settled ? [] : [`${name} has ${updated} of ${wanted} new pods, ${ready} of ${present} ready`];
    }),
    ...leaving.map((name) => `pod/${name} is terminating`),
  ];
}
