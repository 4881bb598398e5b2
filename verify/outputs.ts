// The stack's outputs from outside the program: fetched with the Pulumi CLI or read from a file, and checked before use.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";

import { parseOutputs, type PlatformOutputs } from "../outputs.ts";

/** Where the outputs come from; the stack that is selected unless told otherwise. */
export interface OutputsSource {
  readonly stack?: string | undefined;
  /** A file with the answer of `pulumi stack output --json`; `-` is the standard input. */
  readonly file?: string | undefined;
}

export async function readOutputs(source: OutputsSource, project: string): Promise<PlatformOutputs> {
  const json = source.file === undefined ? await fromPulumi(source.stack, project) : await fromFile(source.file);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new Error(`The stack outputs are not JSON: ${(error as Error).message}`);
  }
  return parseOutputs(value, source.stack);
}

async function fromFile(file: string): Promise<string> {
  return file === "-" ? text(process.stdin) : readFile(file, "utf8");
}

async function fromPulumi(stack: string | undefined, project: string): Promise<string> {
  const args = ["stack", "output", "--json", ...(stack ? ["-s", stack] : [])];
  try {
    return (await promisify(execFile)("pulumi", args, { cwd: project, maxBuffer: 1 << 26 })).stdout;
  } catch (error) {
    const { code, stderr, message } = error as { code?: string | number; stderr?: string; message: string };
    if (code === "ENOENT") {
      throw new Error("pulumi is not on PATH: put it there, or give the outputs with --outputs FILE.");
    }
    throw new Error(`pulumi ${args.join(" ")} failed: ${stderr?.trim() || message}`);
  }
}
