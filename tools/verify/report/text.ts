// The report for people: a line per check, why some were not, a line per served certificate, then the gateway's answer and the verdict.

import type { Report } from "../run.ts";
import { placeOf } from "../served.ts";

export interface Style {
  readonly colour: boolean;
}

/** The whole text, newline at the end. */
export function render({ checks, served, body }: Report, gatewayUrl: string, { colour }: Style): string {
  const paint = (code: number, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  const verdicts = {
    right: paint(32, "ok"),
    warning: paint(33, "warning"),
    wrong: paint(31, "WRONG"),
    "not checked": paint(33, "not checked"),
  };
  const table = (heads: readonly string[], rows: readonly (readonly string[])[], ends: readonly string[]) => {
    const widths = heads.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)));
    const line = (cells: readonly string[], end: string) =>
      [...cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)), end].join("  ").trimEnd();
    return [paint(1, line(heads, "")), ...rows.map((row, i) => line(row, ends[i] ?? ""))];
  };
  const block = (lines: readonly string[]) => (lines.length > 0 ? [...lines, ""] : []);

  const cut = checks.filter(({ ok, observed }) => !ok && shorten(observed) !== observed);
  const wrong = checks.filter(({ ok }) => !ok).length + served.filter(({ verdict }) => verdict === "wrong").length;
  const unchecked = checks.filter(({ verdict }) => verdict === "not checked");
  const done = checks.length - unchecked.length;
  const count = `${counted(done, "check")}, ${counted(served.length, "served certificate")}`;
  const left = unchecked.length === 0 ? "" : `; ${unchecked.length} not checked`;
  return [
    ...table(
      ["Hop", "Case", "Threat", "Expected", "Observed"],
      checks.map(({ hop, case: name, threat, expected, observed }) => [
        ...[hop, name, threat, shorten(expected), shorten(observed)],
      ]),
      checks.map(({ verdict }) => verdicts[verdict]),
    ),
    "",
    ...block(reasons(unchecked)),
    ...block(cut.map((check) => `${check.hop}, ${check.case}: ${check.observed}`)),
    "Served certificates",
    ...table(
      ["Hop", "Pod", "Serial number", "Root", "Generation", "Not after"],
      served.map(({ pod, serial, root, generation = "", notAfter, ...one }) => [
        placeOf(one),
        pod,
        serial,
        root,
        generation,
        notAfter,
      ]),
      served.map(({ verdict }) => verdicts[verdict]),
    ),
    "",
    ...block(
      served.flatMap(({ pod, remark, ...one }) => (remark ? [`${placeOf(one)}${pod && `, ${pod}`}: ${remark}`] : [])),
    ),
    `GET ${gatewayUrl} with the edge client certificate`,
    body.trimEnd() || paint(31, "(no answer)"),
    "",
    wrong === 0 ? paint(32, `${count}, all right${left}`) : paint(31, `${count}, ${wrong} WRONG${left}`),
    "",
  ].join("\n");
}

/** Why lines were not checked, a line a reason. */
function reasons(unchecked: Report["checks"]): string[] {
  const byReason = Map.groupBy(unchecked, ({ why = "" }) => why);
  return [...byReason].map(([why, lines]) => {
    const cases = [...Map.groupBy(lines, (line) => line.case)];
    const named = cases.map(([name, at]) => `${name} (${at.map(({ hop }) => hop).join(", ")})`);
    return `Not checked: ${named.join("; ")}. ${why}`;
  });
}

const widest = 60;

function shorten(text: string): string {
  const flat = text.replaceAll(/\s+/g, " ");
  return flat.length > widest ? `${flat.slice(0, widest - 3)}...` : flat;
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
