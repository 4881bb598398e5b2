// The end-to-end test's own lab, and commands that run against it as a person would run them.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

import { removeFolder } from "../../lab/temporary.ts";
import { readUrn } from "../../urn.ts";

export const checkout = resolve(import.meta.dirname, "../..");
/** Whether the lab is to be left running, and the next run takes it over: for work on a test. */
export const keep = Boolean(process.env.E2E_KEEP);
/** One per process, whose suites take turns: two processes may run suites side by side. */
export const labFolder = join(checkout, keep ? ".test-lab" : `.labs/suites-${process.pid}`);
export const inLabFolder = (name: string) => join(labFolder, name);

/** Why no lab can run here; undefined if one can. */
export function withoutLab(): string | undefined {
  if (process.platform !== "linux") return `the lab needs Linux, and this is ${process.platform}`;
  return process.getuid?.() === 0 ? undefined : "the lab needs root";
}

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  /** Both streams interleaved, without colours. */
  readonly output: string;
}

/** The caller's settings that would lead to another lab, cluster or stack. */
const ofOthers = /^(PULUMI_|KUBECONFIG$|CONTEXT$|STACK$|LAB_DIR$|MAKE)/;
const clean = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !ofOthers.test(name)));
let exported: Record<string, string> = {};

/** Milliseconds for one command; a mocha step has more, so that a hanging command shows what it printed. */
const patience = 4 * 60_000;
/** What is still running, and would outlive an interrupted test. */
const running = new Set<number>();
process.on("exit", () => running.forEach(killGroup));

/** Runs a command in the checkout, with what `lab env` exports; never throws for an exit code. */
export function run(
  command: string,
  args: readonly string[],
  more: Record<string, string> = {},
  within = patience,
): Promise<Finished> {
  const env = { ...clean(), LAB_DIR: labFolder, NO_COLOR: "1", ...exported, ...more };
  return new Promise((done, failed) => {
    // Its own process group, so that pulumi's plugins end with it.
    const child = spawn(command, args, { cwd: checkout, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    const { pid = 0 } = child;
    running.add(pid);
    let [stdout, output] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk;
      output += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    const timer = setTimeout(() => {
      output += `\nkilled after ${within / 1000} s\n`;
      killGroup(pid);
    }, within);
    const over = () => {
      clearTimeout(timer);
      running.delete(pid);
    };
    child.on("error", (error) => {
      over();
      failed(error);
    });
    child.on("close", (code) => {
      over();
      done({ code: code ?? -1, stdout, output });
    });
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** Like `run`, for a command that must succeed. */
export async function must(
  command: string,
  args: readonly string[],
  more?: Record<string, string>,
  within?: number,
): Promise<string> {
  const { code, stdout, output } = await run(command, args, more, within);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} exited with ${code}:\n${output}`);
  return stdout;
}

/** With an empty cache, `up` builds everything first. */
const lab = (command: string, more: Record<string, string> = {}) =>
  must(process.execPath, ["lab/cli.ts", command], more, 8 * patience);

/** Starts the lab with these settings, or reuses one that an earlier run kept. */
async function startLab(settings: Record<string, string> = {}): Promise<void> {
  if (existsSync(labFolder) && !keep) await stopLab();
  await lab("up", settings);
  const exports = (await lab("env")).matchAll(/^export (\w+)='(.*)'$/gm);
  exported = Object.fromEntries(
    [...exports].map(([, name = "", value = ""]) => [name, value.replaceAll("'\\''", "'")]),
  );
  // By which this process itself reaches the cluster.
  process.env.KUBECONFIG = exported["KUBECONFIG"];
}

/** Stops the lab and leaves nothing of it. */
export async function stopLab(): Promise<void> {
  exported = {};
  await lab("down");
  await removeFolder(labFolder);
}

/** For a suite whose steps depend on those before: once one has failed, the rest is skipped. */
export function inOrder(): void {
  let broken = false;
  beforeEach(function () {
    if (broken) this.skip();
  });
  afterEach(function () {
    broken ||= this.currentTest?.state === "failed";
  });
}

/** For a suite whose steps share a lab of its own, in order; `started` runs once the lab does. */
export function inOwnLab(started: () => Promise<void> = async () => {}, settings: Record<string, string> = {}): void {
  before("a lab starts", async function () {
    this.timeout(35 * 60_000); // with an empty cache, everything is built first
    const reason = withoutLab();
    if (reason) {
      console.log(`      skipped: ${reason}`);
      return this.skip();
    }
    await startLab(settings);
    await started();
  });
  inOrder();
  after("the lab stops", async () => {
    if (!keep && existsSync(labFolder)) await stopLab();
  });
}

/** One line of `pulumi … --json`, as far as the tests read it. */
interface Event {
  readonly resOutputsEvent?: { readonly metadata: { readonly op: string; readonly urn: string } };
  readonly diagnosticEvent?: { readonly message: string };
}

/** What `pulumi … --json` printed. */
export function eventsIn(text: string): readonly Event[] {
  const lines = text.split("\n").filter((line) => line.startsWith("{"));
  return lines.map((line) => JSON.parse(line) as Event);
}

/** What `pulumi … --json` did to which resource, by operation, without what stayed the same. */
export function changes(text: string): Record<string, string[]> {
  const changed: Record<string, string[]> = {};
  for (const { resOutputsEvent } of eventsIn(text)) {
    const { op, urn = "" } = resOutputsEvent?.metadata ?? {};
    if (op === undefined || op === "same" || op === "refresh") continue;
    const { types, name } = readUrn(urn);
    (changed[op] ??= []).push(`${types.at(-1)?.split(":").at(-1)} ${name}`);
  }
  return changed;
}
