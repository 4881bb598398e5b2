/** Running labs as seen in this machine's processes, whose command lines carry the path of their lab's configuration. */
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { inCheckout } from "./paths.ts";

/** The program that every lab's first process runs. */
export const init = inCheckout("lab/inside/init.ts");
/** That program's configuration, the last argument of the lab's own processes. */
export const specFileOf = (folder: string) => join(folder, "config/node.json");

/** A lab's `unshare` and pid 1, oldest first. */
export async function processesOf(folder: string): Promise<number[]> {
  const specFile = specFileOf(folder);
  return (await commandLines())
    .filter(({ words }) => words.at(-1) === specFile)
    .map(({ pid }) => pid)
    .sort((a, b) => a - b);
}

/** All labs running on this machine, and which of them this checkout started. */
export async function labsOfMachine(): Promise<{ started: boolean; folder: string }[]> {
  return (await commandLines())
    .filter(({ words }) => words[0] === "unshare" && words.some((word) => word.endsWith("/lab/inside/init.ts")))
    .map(({ words }) => ({ started: words.includes(init), folder: dirname(dirname(words.at(-1) ?? "")) }));
}

/** The folders of all running labs that this checkout started or contains. */
export async function runningLabs(): Promise<string[]> {
  return (await labsOfMachine())
    .filter(({ started, folder }) => started || folder.startsWith(inCheckout("/")))
    .map(({ folder }) => folder);
}

async function commandLines(): Promise<{ pid: number; words: string[] }[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  return Promise.all(
    pids.map(async (pid) => {
      // A process may end while it is being inspected.
      const text = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      return { pid, words: text.split("\0").slice(0, -1) };
    }),
  );
}
