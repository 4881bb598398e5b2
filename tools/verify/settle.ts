// Waits for a platform that is still rolling out: a terminating pod would answer for those that stay.

import { until } from "@mtls-everywhere/cluster-access";
import { rolling } from "@mtls-everywhere/cluster-access/cluster";
import { librarySelector } from "@mtls-everywhere/vocabulary/labels";

import type { PlatformAccess } from "./access.ts";

/** How long to wait for a rollout, in milliseconds. */
const patience = 180_000;

export interface Settling {
  readonly namespace: string;
  readonly signal: AbortSignal;
  /** Called at each look with what is still rolling out. */
  readonly onWaiting?: ((reasons: readonly string[]) => void) | undefined;
  /** Milliseconds. */
  readonly within?: number;
}

/** Waits until every workload of the platform has rolled out. Returns what has not when time runs out. */
export async function settled(
  access: Pick<PlatformAccess, "workloads">,
  { namespace, signal, onWaiting, within = patience }: Settling,
): Promise<readonly string[]> {
  let reasons: readonly string[] = [];
  await until(
    async () => {
      reasons = rolling(await access.workloads(namespace, librarySelector));
      if (reasons.length > 0) onWaiting?.(reasons);
      return reasons.length === 0;
    },
    { within, pause: 500, signal },
  );
  return reasons;
}
