// Reads and writes the stack's state through the Pulumi CLI, and finds out whether it is locked.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pulumi, type StackOf } from "../pulumiCli.ts";
import type { PendingOperation } from "./plan.ts";

/** The output of `pulumi stack export`; secrets in it are encrypted. */
export interface State {
  readonly deployment?: {
    readonly resources?: readonly Resource[];
    readonly pending_operations?: readonly PendingOperation[];
  };
}

export interface Resource {
  readonly urn: string;
  readonly type: string;
  /** Absent for components. */
  readonly custom?: boolean;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly outputs?: Readonly<Record<string, unknown>>;
  readonly dependencies?: readonly string[];
  readonly propertyDependencies?: Readonly<Record<string, readonly string[]>>;
}

export async function readState(stack: StackOf): Promise<State> {
  return JSON.parse(await pulumi(stack, ["stack", "export"])) as State;
}

/** Throws if the state is locked; call it before anything that cannot be undone. */
export async function refuseLocked(stack: StackOf, { deployment }: State): Promise<void> {
  const root = deployment?.resources?.find(({ type }) => type === "pulumi:pulumi:Stack");
  // Each backend keeps its locks elsewhere. Untainting takes the lock and changes nothing: the root is never tainted.
  if (root) await underLock(stack, ["state", "untaint", root.urn, "--yes"]);
}

export async function writeState(stack: StackOf, state: State): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "mtls-recover-"));
  try {
    const file = join(folder, "state.json");
    await writeFile(file, JSON.stringify(state), { mode: 0o600 });
    await underLock(stack, ["stack", "import", "--file", file]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function underLock(stack: StackOf, args: readonly string[]): Promise<void> {
  try {
    await pulumi(stack, args);
  } catch (error) {
    if (!/currently locked|Another update is currently in progress/.test((error as Error).message)) throw error;
    throw new Error(
      `The state of stack ${stack.stack} is locked: an update is running, or one was killed and left its lock behind. Nothing was changed. ` +
        `If none is running on any machine, run pulumi cancel -s ${stack.stack}, then this command again.`,
      { cause: error },
    );
  }
}
