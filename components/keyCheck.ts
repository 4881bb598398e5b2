// Refuses a change of keys that needs another step first, judged by what the gateway's pods run with and what is in the gateway.

import { adminClient, closeSessions, type SealedObject, sealedObjects } from "@mtls-everywhere/apisix-admin";
import { timeLimitsOf } from "@mtls-everywhere/cluster-access";
import { type Cluster, readyCondition } from "@mtls-everywhere/cluster-access/cluster";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

import { type KeyNames, keysOf } from "./keyNames.ts";
import { droppedFromKeyring, keyFaults, type RunningPod, sealFaults } from "./keySteps.ts";

export interface KeyCheck {
  /** Where the gateway runs. */
  readonly cluster: Cluster;
  /** The keys of the configuration. */
  readonly wanted: KeyNames;
  /** The Admin API of pods that run with these keys. */
  readonly admin: (running: KeyNames) => AdminEndpoint;
}

/**
 * Holds a change of keys to its steps. A first update has no pods, and nothing to refuse.
 * @throws RunError before anything else is planned, with the steps to take.
 */
export async function checkKeys({ cluster, wanted, admin }: KeyCheck): Promise<void> {
  const faults = await faultsOf(cluster, wanted, admin).catch((error: Error) => {
    throw new pulumi.RunError(
      `Cannot tell whether the gateway's keys may be changed: ${error.message}\nNothing was changed.`,
    );
  });
  if (faults.length === 0) return;
  throw new pulumi.RunError(
    `The keys of stack ${pulumi.getStack()} cannot be changed like this:\n${faults.map((fault) => `  ${fault}`).join("\n")}\n` +
      "Nothing was changed. docs/keys.md has the steps.",
  );
}

async function faultsOf(cluster: Cluster, wanted: KeyNames, admin: KeyCheck["admin"]): Promise<string[]> {
  const running = (await cluster.pods(admin(wanted))).map((pod): RunningPod => ({
    name: pod.metadata?.name ?? "",
    keys: keysOf(pod.metadata?.annotations ?? {}),
    readySince: readyCondition(pod)?.lastTransitionTime?.getTime(),
  }));
  const faults = keyFaults(running, wanted);
  const dropped = droppedFromKeyring(running, wanted);
  if (faults.length > 0 || dropped.length === 0) return faults;
  return sealFaults(dropped, await objectsIn(cluster, admin(running[0]!.keys)), running, wanted);
}

/** Everything in the gateway that is sealed. */
async function objectsIn(cluster: Cluster, admin: AdminEndpoint): Promise<SealedObject[]> {
  try {
    return await sealedObjects(await adminClient(cluster, admin), timeLimitsOf(cluster).reading);
  } finally {
    await closeSessions(cluster);
  }
}
