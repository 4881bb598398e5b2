// Waits for a condition: looks again and again until it holds or time is up.

import { setTimeout as sleep } from "node:timers/promises";

export interface Waiting {
  /** How long to keep looking, in milliseconds. There is always a first look, and a last one when time is up. */
  readonly within: number;
  /** Between two looks, in milliseconds. Defaults to 250. */
  readonly pause?: number;
  /** Ends the wait by throwing its reason. */
  readonly signal?: AbortSignal;
}

/** The first result of `look` that is neither undefined nor false; undefined when time is up. What it throws ends the wait. */
export async function until<T>(
  look: () => Promise<T | false | undefined>,
  { within, pause = 250, signal }: Waiting,
): Promise<T | undefined> {
  for (const end = performance.now() + within; ;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    const left = end - performance.now();
    if (left <= 0) return undefined;
    await sleep(Math.min(pause, left), undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
}
