/** The tables of proofs, each with the page that shows it. */
import { readFile, writeFile } from "node:fs/promises";
import { inCheckout } from "../paths.ts";
import { deletions } from "./deletions.ts";
import type { Result } from "./prove.ts";
import type { Row, RunningPlatform } from "./row.ts";

export interface Table {
  /** Path in the checkout. */
  readonly page: string;
  /** Column heads of a row's name and of what happened. */
  readonly columns: readonly [name: string, seen: string];
  rows(platform: RunningPlatform): Promise<readonly Row[]>;
}

export const tables: Readonly<Record<string, Table>> = {
  deletions: { page: "docs/deletions.md", columns: ["deleted", "what `pulumi up --refresh` does"], rows: deletions },
};

const mark = "<!-- Below this line: written by lab/proofs/cli.ts. -->";

/** Keeps the text above the mark, which people write. */
export async function writePage({ page, columns }: Table, results: readonly Result[]): Promise<void> {
  const file = inCheckout(page);
  const [words = ""] = (await readFile(file, "utf8")).split(mark);
  await writeFile(file, `${words}${mark}\n\n${rendered(columns, results)}`);
}

/** Formatted as by prettier. */
function rendered(columns: Table["columns"], results: readonly Result[]): string {
  const header = [...columns, "", "seconds"];
  const cells = results.map(({ name, seen, right, seconds }) => [
    ...[name, seen].map((text) => text.replaceAll("|", "\\|")),
    right ? "right" : "wrong",
    String(Math.round(seconds)),
  ]);
  const widths = header.map((text, at) => Math.max(3, text.length, ...cells.map((row) => row[at]!.length)));
  const lines = [header, widths.map((width) => "-".repeat(width)), ...cells];
  return lines.map((row) => `| ${row.map((text, at) => text.padEnd(widths[at]!)).join(" | ")} |\n`).join("");
}
