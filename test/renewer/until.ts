// Waits for a condition, with a deadline that a busy machine can keep.

import { until as look } from "../../cluster-access/until.ts";

export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const within = 30_000;
  if (!(await look(async () => condition(), { within, pause: 20 }))) {
    throw new Error(`Gave up after ${within / 1_000} s waiting until ${what}.`);
  }
}
