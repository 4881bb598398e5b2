// Refuses changes that an update cannot make to a running etcd: its number of members, and its volumes.

import type { V1StatefulSet } from "@kubernetes/client-node";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import { mebibytes } from "@mtls-everywhere/vocabulary/quantities";
import * as pulumi from "@pulumi/pulumi";

import type { EtcdPlanArgs } from "./etcdPlan.ts";

/** The parts of an etcd that no update can change. */
export type StoreShape = Pick<EtcdPlanArgs, "replicas" | "storage" | "storageClass">;

/**
 * Holds etcd to its current members and volumes. Before the first update there are none, and nothing is refused. Warns
 * of members that are not ready.
 * @throws RunError before anything else is planned, with the steps to get what was asked for.
 */
export async function checkStore(
  name: string,
  cluster: Pick<Cluster, "statefulSet">,
  wanted: StoreShape & Pick<EtcdPlanArgs, "namespace">,
): Promise<void> {
  const stack = pulumi.getStack();
  const running = await cluster.statefulSet(wanted.namespace, name).catch((error: Error) => {
    throw new pulumi.RunError(`Cannot tell whether etcd may be changed: ${error.message}\nNothing was changed.`);
  });
  if (running === undefined) return;
  const shape = shapeOf(running);
  const faults = storeFaults(shape, wanted, stack);
  if (faults.length > 0) {
    throw new pulumi.RunError(
      `The etcd of stack ${stack} cannot be changed like this:\n${faults.map((fault) => `  ${fault}`).join("\n")}\n` +
        "Nothing was changed. docs/etcd.md has the steps.",
    );
  }
  const ready = running.status?.readyReplicas ?? 0;
  if (ready < shape.replicas) {
    await pulumi.log.warn(
      `etcd has ${ready} of ${counted(shape.replicas)} ready. To see what is missing: node tools/etcd/cli.ts status -s ${stack}`,
    );
  }
}

/** The wanted changes that are not possible, each with what to do instead. */
export function storeFaults(running: StoreShape, wanted: StoreShape, stack: string): string[] {
  const faults: string[] = [];
  // Scaled to zero by hand: an update brings the same members back.
  if (running.replicas !== 0 && running.replicas !== wanted.replicas) {
    faults.push(
      `etcd.replicas: etcd has ${counted(running.replicas)}, and members are added and removed one at a time. ` +
        `Run node tools/etcd/cli.ts scale ${wanted.replicas} -s ${stack}, then pulumi up; or set it back to ${running.replicas}.`,
    );
  }
  if (running.storage !== wanted.storage && mebibytes(running.storage) !== mebibytes(wanted.storage)) {
    faults.push(
      `etcd.storage: the volumes were created with ${running.storage}, and a StatefulSet's claims cannot be changed. ` +
        `Set it back to ${running.storage}, or expand the volumes first.`,
    );
  }
  if (running.storageClass !== wanted.storageClass) {
    const made = running.storageClass ? `class ${running.storageClass}` : "the cluster's default class";
    faults.push(
      `etcd.storageClass: the volumes were created with ${made}, and a StatefulSet's claims cannot be changed. ` +
        `${running.storageClass ? `Set it back to ${running.storageClass}` : "Unset it"}, or move the volumes first.`,
    );
  }
  return faults;
}

function shapeOf({ spec }: V1StatefulSet): StoreShape {
  const claim = spec?.volumeClaimTemplates?.[0]?.spec;
  return {
    replicas: spec?.replicas ?? 1,
    storage: claim?.resources?.requests?.["storage"] ?? "",
    storageClass: claim?.storageClassName,
  };
}

function counted(members: number): string {
  return `${members} member${members === 1 ? "" : "s"}`;
}
