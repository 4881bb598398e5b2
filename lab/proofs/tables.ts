/** The tables of proofs, each with the page that shows it. */
import { readFile, writeFile } from "node:fs/promises";
import { inCheckout } from "../paths.ts";
import type { RootKind } from "../soak/forms.ts";
import { configuration } from "./configuration.ts";
import { deletions } from "./deletions.ts";
import type { Result } from "./prove.ts";
import type { Row, RunningPlatform } from "./row.ts";

export interface Table {
  /** Path in the checkout. */
  readonly page: string;
  /** Column heads. */
  readonly columns: readonly string[];
  /** Where the platform's roots come from. */
  readonly root: RootKind;
  rows(platform: RunningPlatform): Promise<readonly Row[]>;
  /** The columns of a result. */
  cells(result: Result): readonly string[];
}

export const tables: Readonly<Record<string, Table>> = {
  deletions: {
    ...{ page: "docs/deletions.md", columns: ["deleted", "what `pulumi up --refresh` does"], root: "cluster" },
    rows: deletions,
    cells: ({ name, seen }) => [name, seen],
  },
  configuration: {
    page: "docs/configuration.md",
    columns: ["key", "changed to", "what `pulumi up` does", "what clients notice"],
    root: "stateHeld",
    rows: configuration,
    cells: ({ name, seen, traffic = "" }) => {
      const [, key = "", to = ""] = /^(.+?): (.*)$/.exec(name) ?? [];
      return [`\`${key}\``, to, seen, traffic];
    },
  },
};

const mark = "<!-- Below this line: written by lab/proofs/cli.ts. -->";

/** Keeps the text above the mark, which people write. */
export async function writePage(table: Table, results: readonly Result[]): Promise<void> {
  const file = inCheckout(table.page);
  const [words = ""] = (await readFile(file, "utf8")).split(mark);
  await writeFile(file, `${words}${mark}\n\n${rendered(table, results)}`);
}

/** Formatted as by prettier. */
function rendered(table: Table, results: readonly Result[]): string {
  const header = [...table.columns, "", "seconds"];
  const cells = results.map((result) => [
    ...table.cells(result).map((text) => text.replaceAll("|", "\\|")),
    result.right ? "right" : "wrong",
    String(Math.round(result.seconds)),
  ]);
  const widths = header.map((text, at) => Math.max(3, text.length, ...cells.map((row) => row[at]!.length)));
  const lines = [header, widths.map((width) => "-".repeat(width)), ...cells];
  return lines.map((row) => `| ${row.map((text, at) => text.padEnd(widths[at]!)).join(" | ")} |\n`).join("");
}
