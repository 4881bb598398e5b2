/** Content-keyed parts, each made once under a temporary name and then renamed, so that an interrupted run leaves nothing half-done. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inCache } from "./paths.ts";

/** A part in the cache, and whether it was made just now. */
export interface Part {
  path: string;
  made: boolean;
}

const unusedFor = 14 * 24 * 3600 * 1000;

/** A short digest of strings: the same inputs, the same key. */
export function keyOf(...inputs: string[]): string {
  const hash = createHash("sha256");
  for (const input of inputs) hash.update(`${input.length}:`).update(input);
  return hash.digest("hex").slice(0, 16);
}

/** The names and contents of files, and of all files below folders, except Go tests. */
export async function contentsOf(paths: string[]): Promise<string[]> {
  const all = paths.toSorted().map(async (path) => {
    const name = basename(path);
    if (name === "testdata" || name.endsWith("_test.go")) return [];
    if (!(await stat(path)).isDirectory()) return [name, await readFile(path, "utf8")];
    return [name, ...(await contentsOf((await readdir(path)).map((entry) => join(path, entry))))];
  });
  return (await Promise.all(all)).flat();
}

/** The part `<kind>/<name>-<key>` of the cache; if it is missing, `make` writes it to the path it is given. */
export async function cached(
  kind: string,
  name: string,
  key: string,
  make: (path: string) => Promise<void>,
): Promise<Part> {
  const path = inCache(kind, `${name}-${key}`);
  await mkdir(dirname(path), { recursive: true });
  await madeElsewhere(path);
  const made = !existsSync(path);
  if (made) {
    const half = `${path}.half-${process.pid}`;
    const mark = `${half}-mark`;
    await writeFile(mark, "");
    await rm(half, { recursive: true, force: true });
    await make(half);
    await rename(half, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error; // another checkout was faster
    });
    await rm(mark);
    await prune(kind, name, path);
  }
  await utimes(path, new Date(), new Date());
  return { path, made };
}

/** Waits for other processes that are making the same part: two builds side by side take longer than one. */
async function madeElsewhere(path: string): Promise<void> {
  const isTheirs = (entry: string) => {
    const maker = Number(makerOf(entry));
    return entry.startsWith(`${basename(path)}.half-`) && maker !== process.pid && isRunning(maker);
  };
  while ((await readdir(dirname(path))).some(isTheirs)) await sleep(500);
}

/** The process that makes a part under a temporary name. */
function makerOf(entry: string): string | undefined {
  return /\.half-(\d+)/.exec(entry)?.[1];
}

/** Removes old versions of a part that have been unused for two weeks, and leftovers of interrupted runs. */
async function prune(kind: string, name: string, keep: string): Promise<void> {
  for (const entry of await readdir(inCache(kind))) {
    const path = inCache(kind, entry);
    if (!entry.startsWith(`${name}-`) || path === keep) continue;
    const maker = makerOf(entry);
    const unused =
      maker === undefined ? Date.now() - (await stat(path)).mtimeMs > unusedFor : !isRunning(Number(maker));
    if (unused) await rm(path, { recursive: true, force: true });
  }
}

/** Works without /proc, and sees other users' processes too. */
export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
