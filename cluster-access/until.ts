// Waiting for a condition: one look after another, until there is something to see or the time is over.

import { setTimeout as sleep } from "node:timers/promises";

export interface Waiting {
  /** How long to go on looking, in milliseconds. There is always a first look, and a last one when the time is over. */
  readonly within: number;
  /** Between two looks, in milliseconds. Defaults to 250. */
  readonly pause?: number;
  /** Ends the waiting by throwing its reason. */
  readonly signal?: AbortSignal;
}

/** What `look` gives, as soon as that is neither undefined nor false; undefined when the time is over. What it throws ends the waiting. */
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
