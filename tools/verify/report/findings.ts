// What the reports count, and when they were made.

import type { PlatformOutputs } from "../../../outputs.ts";
import type { Result } from "../judge.ts";

/** When the checks ran, and on what. */
export interface Occasion {
  /** Absent if it is the selected one, or if the outputs come from a file. */
  readonly stack?: string | undefined;
  readonly outputs: PlatformOutputs;
  readonly start: Date;
  /** Milliseconds that the whole run took. */
  readonly ms: number;
}

/** Of a check or of a served certificate. */
export type Verdict = "right" | "warning" | "wrong" | "not checked";

/** How many there are of each verdict. */
export type Tally = Readonly<Record<Verdict, number>>;

export function tally(verdicts: readonly Verdict[]): Tally {
  const count = (wanted: Verdict) => verdicts.filter((verdict) => verdict === wanted).length;
  return {
    right: count("right"),
    warning: count("warning"),
    wrong: count("wrong"),
    "not checked": count("not checked"),
  };
}

/** The checks of each hop, in the report's order. */
export function byHop(checks: readonly Result[]): ReadonlyMap<string, readonly Result[]> {
  return Map.groupBy(checks, ({ hop }) => hop);
}

export function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
