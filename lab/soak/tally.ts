/** Counts tries and failures, with reasons. */

export interface Numbers {
  readonly done: number;
  readonly failed: number;
  /** How often, by reason. */
  readonly reasons: Readonly<Record<string, number>>;
  /** The very first failures. */
  readonly first: readonly Failure[];
}

export interface Failure {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly reason: string;
}

/** How many failures are kept with their time. */
const kept = 5;

export class Tally {
  #done = 0;
  readonly #failures: Failure[] = [];
  readonly #reasons = new Map<string, number>();

  done(): void {
    this.#done += 1;
  }

  failed(reason: string): void {
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
    if (this.#failures.length < kept) this.#failures.push({ at: Date.now(), reason });
  }

  get numbers(): Numbers {
    const failed = [...this.#reasons.values()].reduce((sum, count) => sum + count, 0);
    const reasons = Object.fromEntries([...this.#reasons].sort(([, a], [, b]) => b - a));
    return { done: this.#done, failed, reasons, first: this.#failures };
  }
}

export interface Spread {
  readonly count: number;
  readonly median: number;
  readonly p95: number;
  readonly max: number;
}

/** By nearest rank; all 0 without values. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { count: sorted.length, median: at(0.5), p95: at(0.95), max: at(1) };
}
