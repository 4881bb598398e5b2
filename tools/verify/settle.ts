// The wait for a platform that still rolls: a pod on its way out would answer for those that stay.

import { until } from "@mtls-everywhere/cluster-access";
import { rolling } from "@mtls-everywhere/cluster-access/cluster";

import { librarySelector } from "../../components/workload.ts";
import type { PlatformAccess } from "./access.ts";

/** How long a roll is waited for, in milliseconds. */
const patience = 180_000;

export interface Settling {
  readonly namespace: string;
  readonly signal: AbortSignal;
  /** Told what is waited for, at each look. */
  readonly onWaiting?: ((reasons: readonly string[]) => void) | undefined;
  /** Milliseconds. */
  readonly within?: number;
}

/** Waits until every workload of the platform has come to rest. Gives what has not when the time is over. */
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
