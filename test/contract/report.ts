// Writes down what a stand-in was held to: which recordings were compared, which differ and why, which are out of scope and why.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** One recording with the reason why it is not simply compared. */
export interface Exception {
  readonly case: string;
  readonly reason: string;
}

export class ContractReport {
  readonly compared: string[] = [];
  readonly differing: Exception[] = [];
  readonly outOfScope: Exception[] = [];

  /** Writes `<project>/.lab/contract/<name>.json` and returns its path. */
  write(project: string, name: string): string {
    const folder = join(project, ".lab", "contract");
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `${name}.json`);
    const { compared, differing, outOfScope } = this;
    writeFileSync(path, `${JSON.stringify({ compared, differing, outOfScope }, undefined, 2)}\n`);
    return path;
  }
}
