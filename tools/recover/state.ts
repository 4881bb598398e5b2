// The stack's state by the Pulumi CLI: read, tried for a lock, written.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pulumi, type StackOf } from "../pulumiCli.ts";
import type { PendingOperation } from "./plan.ts";

/** What `pulumi stack export` gives; secrets in it are encrypted. */
export interface State {
  readonly deployment?: {
    readonly resources?: readonly Resource[];
    readonly pending_operations?: readonly PendingOperation[];
  };
}

export interface Resource {
  readonly urn: string;
  readonly type: string;
  /** Absent of components. */
  readonly custom?: boolean;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly outputs?: Readonly<Record<string, unknown>>;
  readonly dependencies?: readonly string[];
  readonly propertyDependencies?: Readonly<Record<string, readonly string[]>>;
}

export async function readState(stack: StackOf): Promise<State> {
  return JSON.parse(await pulumi(stack, ["stack", "export"])) as State;
}

/** Throws when the state is locked: to be called before what cannot be undone. */
export async function refuseLocked(stack: StackOf, { deployment }: State): Promise<void> {
  const root = deployment?.resources?.find(({ type }) => type === "pulumi:pulumi:Stack");
  // Backends keep locks in places of their own. This takes the lock and changes nothing: the root is never tainted.
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
      `The state of stack ${stack.stack} is locked: an update of it runs, or was killed and left its lock. Nothing was changed in it. ` +
        `When none runs, on any machine: pulumi cancel -s ${stack.stack}, then the same command again.`,
      { cause: error },
    );
  }
}
