// Reports what a stand-in was compared with: which recordings were compared, and which differ or are out of scope, and why.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A recording, and why it is not compared as is. */
export interface Exception {
  readonly case: string;
  readonly reason: string;
}

/** What one stand-in was compared with. */
export interface Report {
  readonly compared: readonly string[];
  readonly differing: readonly Exception[];
  readonly outOfScope: readonly Exception[];
}

/** Folder of the reports in a project; git ignores it. */
const folder = ".contract";

export class ContractReport implements Report {
  readonly compared: string[] = [];
  readonly differing: Exception[] = [];
  readonly outOfScope: Exception[] = [];

  /** Writes `<project>/.contract/<name>.json` and returns its path. */
  write(project: string, name: string): string {
    mkdirSync(join(project, folder), { recursive: true });
    const path = join(project, folder, `${name}.json`);
    const { compared, differing, outOfScope } = this;
    writeFileSync(path, `${JSON.stringify({ compared, differing, outOfScope }, undefined, 2)}\n`);
    return path;
  }
}

/** A report as text: counts, then each reason once, with the cases that it explains. */
export function render(name: string, report: Report): string {
  const { compared, differing, outOfScope } = report;
  const counts = `${compared.length} compared, ${differing.length} differing, ${outOfScope.length} out of scope`;
  return [`${name}: ${counts}`, ...section("differing", differing), ...section("out of scope", outOfScope)].join("\n");
}

function section(title: string, exceptions: readonly Exception[]): string[] {
  const byReason = Map.groupBy(exceptions, ({ reason }) => reason);
  return [...byReason].flatMap(([reason, cases]) => [
    `  ${title}: ${reason || "NO REASON WRITTEN"}`,
    ...cases.map((exception) => `    ${exception.case}`),
  ]);
}

/** Prints the reports that the contract tests wrote; fails if one is missing or an exception has no reason. */
function print(project: string): number {
  const names = ["apisix", "plugins"];
  const written = new Set(readdirSync(join(project, folder)));
  let wrong = 0;
  for (const name of names) {
    if (!written.has(`${name}.json`)) {
      process.stdout.write(`${name}: no report; its contract tests did not run to the end\n`);
      wrong++;
      continue;
    }
    const report = JSON.parse(readFileSync(join(project, folder, `${name}.json`), "utf8")) as Report;
    process.stdout.write(`${render(name, report)}\n`);
    wrong += [...report.differing, ...report.outOfScope].filter(({ reason }) => !reason).length;
  }
  process.stdout.write("policy packs: no recordings; their behaviour is tested in test/policy and in the lab\n");
  return wrong;
}

if (import.meta.main) process.exitCode = print(join(import.meta.dirname, "../../..")) > 0 ? 1 : 0;
