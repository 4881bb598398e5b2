/** Proves rows one after the other, and keeps the results: an interrupted run resumes where it was. */
import { existsSync } from "node:fs";
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Row, RunningPlatform, Seen } from "./row.ts";

export interface Result {
  readonly name: string;
  /** What happened, in words; for a wrong row, what is wrong. */
  readonly seen: string;
  /** What clients noticed, if that is part of the table. */
  readonly traffic?: string;
  readonly right: boolean;
  readonly seconds: number;
}

/** Results of earlier runs, one a line; the last one of a row counts. */
export class Kept {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  async read(): Promise<ReadonlyMap<string, Result>> {
    const text = existsSync(this.#file) ? await readFile(this.#file, "utf8") : "";
    const results = text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Result);
    return new Map(results.map((result) => [result.name, result]));
  }

  async add(results: readonly Result[]): Promise<void> {
    await mkdir(dirname(this.#file), { recursive: true });
    await appendFile(this.#file, results.map((result) => `${JSON.stringify(result)}\n`).join(""));
  }
}

export interface Proving {
  readonly platform: RunningPlatform;
  readonly progress: (line: string) => void;
  /** Repairs the platform after a wrong row, so that the next one finds it as the first did. Throws if it cannot. */
  readonly heal: (platform: RunningPlatform) => Promise<void>;
  /** Ends it between two steps: the row in progress counts neither as right nor as wrong. */
  readonly signal?: AbortSignal;
}

/** Proves rows together. A failure is a result, too; with several rows, it cannot be attributed to one. */
export async function proveRows(rows: readonly Row[], proving: Proving): Promise<Result[]> {
  const { platform, progress, heal, signal } = proving;
  const names = rows.map(({ name }) => name).join(", ");
  try {
    for (const row of rows) await row.act(platform);
    const { changes, ...seen } = await rows[0]!.expect(platform);
    const results = rows.map(({ name, own }) => {
      const its =
        rows.length === 1 || "refused" in changes ? changes : changes.filter((change) => change.endsWith(` ${own}`));
      return { name, seen: inWords(its), right: true, ...seen };
    });
    for (const { name, seen, traffic, seconds } of results) {
      const noticed = traffic === undefined ? "" : `; clients notice ${traffic}`;
      progress(`right  ${name}: ${seen}${noticed} (${Math.round(seconds)} s)`);
    }
    return results;
  } catch (error) {
    signal?.throwIfAborted();
    const seen = (error as Error).message;
    progress(`WRONG  ${names}: ${seen}`);
    await heal(platform);
    return rows.map(({ name }) => ({ name, seen, right: false, seconds: 0 }));
  }
}

/** Proves all rows, or those no earlier run found right: together where possible, and alone if that was wrong. */
export async function prove(rows: readonly Row[], kept: Kept, proving: Proving, again = false): Promise<Result[]> {
  const before = await kept.read();
  const open = rows.filter(({ name }) => again || !before.get(name)?.right);
  let left = open.length;
  for (const together of grouped(open)) {
    proving.progress(`${left} of ${rows.length} rows left`);
    let results = await proveRows(together, proving);
    if (together.length > 1 && results.some(({ right }) => !right)) {
      results = [];
      for (const row of together) results.push(...(await proveRows([row], proving)));
    }
    await kept.add(results);
    left -= together.length;
  }
  const after = await kept.read();
  return rows.map(({ name }) => after.get(name)!);
}

/** Rows that are proved together. */
const most = 8;

function grouped(rows: readonly Row[]): Row[][] {
  const groups: Row[][] = [];
  for (const row of rows) {
    const last = groups.at(-1);
    if (row.own !== undefined && last?.[0]?.own !== undefined && last.length < most) last.push(row);
    else groups.push([row]);
  }
  return groups;
}

function inWords(changes: Seen["changes"]): string {
  if ("refused" in changes) return `refuses it: ${changes.refused}`;
  const verbs = [...new Set(changes.map((change) => change.split(" ")[0]!))];
  const said = verbs.map((verb) => {
    const objects = changes.filter((change) => change.startsWith(`${verb} `)).map((one) => one.slice(verb.length + 1));
    return `${verb} ${objects.length > 3 ? `${objects.length} objects` : objects.join(", ")}`;
  });
  return said.length === 0 ? "nothing" : said.join("; ");
}

/** Random rows, the same ones for the same seed; a row may be drawn twice. */
export function draws(rows: readonly Row[], count: number, seed: number): Row[] {
  const next = random(seed);
  return Array.from({ length: count }, () => rows[Math.floor(next() * rows.length)]!);
}

/** mulberry32: small, and the same on every machine. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
