/** Proves rows one after the other, and keeps what was seen: an interrupted run goes on where it was. */
import { existsSync } from "node:fs";
import { appendFile, mkdir, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Row, RunningPlatform } from "./row.ts";

export interface Result {
  readonly name: string;
  /** In words; of a wrong one, what is wrong. */
  readonly seen: string;
  readonly right: boolean;
  readonly seconds: number;
}

/** Results of earlier runs, one a line; what came last of a row counts. */
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

  async add(result: Result): Promise<void> {
    await mkdir(dirname(this.#file), { recursive: true });
    await appendFile(this.#file, `${JSON.stringify(result)}\n`);
  }

  async forget(): Promise<void> {
    await rm(this.#file, { force: true });
  }
}

export interface Proving {
  readonly platform: RunningPlatform;
  readonly progress: (line: string) => void;
  /** Brings the platform to rest after a wrong row, so that the next one finds it as the first did. Throws when it cannot. */
  readonly heal: (platform: RunningPlatform) => Promise<void>;
  /** Ends it between two steps: what was being done counts neither as right nor as wrong. */
  readonly signal?: AbortSignal;
}

/** One row; what goes wrong is a result too. */
export async function proveRow(row: Row, { platform, progress, heal, signal }: Proving): Promise<Result> {
  const { name } = row;
  try {
    await row.act(platform);
    const { words, seconds } = await row.expect(platform);
    progress(`right  ${name}: ${words} (${Math.round(seconds)} s)`);
    return { name, seen: words, right: true, seconds };
  } catch (error) {
    signal?.throwIfAborted();
    const seen = (error as Error).message;
    progress(`WRONG  ${name}: ${seen}`);
    await heal(platform);
    return { name, seen, right: false, seconds: 0 };
  }
}

/** All rows that no earlier run has found right. */
export async function prove(rows: readonly Row[], kept: Kept, proving: Proving): Promise<Result[]> {
  const before = await kept.read();
  const results: Result[] = [];
  for (const [index, row] of rows.entries()) {
    const known = before.get(row.name);
    if (known?.right) {
      results.push(known);
      continue;
    }
    proving.progress(`${index + 1} of ${rows.length}`);
    const result = await proveRow(row, proving);
    await kept.add(result);
    results.push(result);
  }
  return results;
}

/** Rows by chance, the same ones for the same seed; a row may come again. */
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
