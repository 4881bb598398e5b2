// What an update says while it waits: looks again and again, and says each thing once.

import * as pulumi from "@pulumi/pulumi";

/** Something to warn of. */
export interface Warning {
  /** What it is about: it is said once. */
  readonly about: string;
  readonly words: string;
}

/** Milliseconds between two looks. */
const pause = 3_000;

/** Looks until the program ends, and warns once of each thing that is found. Does nothing in a preview. */
export function warnOnce(look: () => Promise<readonly Warning[]>): void {
  if (pulumi.runtime.isDryRun()) return;
  const said = new Set<string>();
  const sayNew = async () => {
    for (const { about, words } of await look()) {
      if (said.has(about)) continue;
      said.add(about);
      await pulumi.log.warn(words);
    }
    next();
  };
  // A failing watch must not fail the update, nor keep the program running.
  const next = () => void setTimeout(() => void sayNew().catch(() => {}), pause).unref();
  next();
}
