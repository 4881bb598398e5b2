// Waits for a condition, with a deadline that a loaded machine keeps.

import { setTimeout as sleep } from "node:timers/promises";

export async function until(what: string, condition: () => boolean | Promise<boolean>, time = 30_000): Promise<void> {
  for (const end = Date.now() + time; !(await condition()); await sleep(20)) {
    if (Date.now() > end) throw new Error(`${time / 1_000} s were not enough until ${what}.`);
  }
}
