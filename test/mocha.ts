// What the commands that run many tests share: the list of test files, and mocha in a process whose output is streamed.

import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { join, resolve } from "node:path";

export const checkout = resolve(import.meta.dirname, "..");

/** Every test file, relative to the checkout. */
export const testFiles: readonly string[] = globSync(["test/**/*.test.ts", "lab/test/**/*.test.ts"], {
  cwd: checkout,
}).sort();

/** Mocha's program. */
export const mocha = join(checkout, "node_modules/mocha/bin/mocha.js");

export interface Finished {
  readonly code: number | null;
  readonly output: string;
}

interface Options {
  /** Defaults to this process's. */
  readonly env?: NodeJS.ProcessEnv;
  /** Whether to make it the leader of its own process group. Default: `false`. */
  readonly group?: boolean;
  /** Called with all output so far, whenever there is more. */
  readonly heard?: (output: string) => void;
}

/** Starts Node.js in the checkout. */
export function startNode(
  args: readonly string[],
  { env = process.env, group = false, heard = () => undefined }: Options = {},
): { readonly pid: number; readonly ended: Promise<Finished> } {
  const child = spawn(process.execPath, args, {
    ...{ cwd: checkout, env, detached: group },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      heard(output);
    });
  const ended = new Promise<Finished>((done, fail) =>
    child.on("error", fail).on("close", (code) => done({ code, output })),
  );
  return { pid: child.pid ?? 0, ended };
}
