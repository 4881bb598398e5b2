// The report as people read it: one line a check, then the closing scene.

import type { Report } from "./run.ts";

export interface Style {
  readonly colour: boolean;
}

/** The whole text, newline at the end. */
export function render(report: Report, gatewayUrl: string, { colour }: Style): string {
  const paint = (code: number, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  const rows = report.checks.map((check) => [check.hop, check.case, shorten(check.expected), shorten(check.observed)]);
  const heads = ["Hop", "Case", "Expected", "Observed"];
  const widths = heads.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[], verdict: string) =>
    [...cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)), verdict].join("  ").trimEnd();

  const wrong = report.checks.filter(({ ok }) => !ok);
  const cut = wrong.filter(({ observed }) => shorten(observed) !== observed);
  const count = `${report.checks.length} check${report.checks.length === 1 ? "" : "s"}`;
  return [
    paint(1, line(heads, "")),
    ...rows.map((row, i) => line(row, report.checks[i]?.ok ? paint(32, "ok") : paint(31, "WRONG"))),
    "",
    ...cut.map((check) => `${check.hop}, ${check.case}: ${check.observed}`),
    ...(cut.length > 0 ? [""] : []),
    `GET ${gatewayUrl} with the edge client certificate`,
    report.body.trimEnd() || paint(31, "(no answer)"),
    "",
    wrong.length === 0 ? paint(32, `${count}, all right`) : paint(31, `${count}, ${wrong.length} WRONG`),
    "",
  ].join("\n");
}

const widest = 60;

function shorten(text: string): string {
  const flat = text.replaceAll(/\s+/g, " ");
  return flat.length > widest ? `${flat.slice(0, widest - 3)}...` : flat;
}
