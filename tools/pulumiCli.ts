// The stack as seen from outside the program, for verify and recover: what the Pulumi CLI says, and which cluster it selects.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import type { ClusterSelection } from "@mtls-everywhere/cluster-access/cluster";

/** How the CLI finds a stack. */
export interface StackOf {
  /** Folder of the Pulumi project. */
  readonly project: string;
  /** Defaults to the selected stack. */
  readonly stack?: string | undefined;
}

/**
 * The output of `pulumi <args> [-s <stack>]`.
 * @throws with Pulumi's own message, or, without a CLI, with what to do: `otherwise` completes that sentence.
 */
export async function pulumi({ project, stack }: StackOf, args: readonly string[], otherwise = ""): Promise<string> {
  const all = [...args, ...(stack ? ["-s", stack] : [])];
  try {
    return (await promisify(execFile)("pulumi", all, { cwd: project, maxBuffer: 256 * 2 ** 20 })).stdout;
  } catch (error) {
    const { code, stderr, message } = error as { code?: string | number; stderr?: string; message: string };
    if (code === "ENOENT") throw new Error(`pulumi is not on PATH: put it there${otherwise}.`, { cause: error });
    throw new Error(`pulumi ${all.join(" ")} failed: ${stderr?.trim() || message}`, { cause: error });
  }
}

/** The cluster that the stack's program connects to, from its `kubernetes:kubeconfig` and `kubernetes:context`, or from `context`. */
export async function clusterOf(stack: StackOf, context?: string): Promise<ClusterSelection> {
  const config = JSON.parse(await pulumi(stack, ["config", "--json"])) as Record<string, Entry | undefined>;
  const valueOf = async (key: string) => {
    const entry = config[key];
    // The list omits secret values: decrypt only this one.
    return entry?.secret ? (await pulumi(stack, ["config", "get", key])).trimEnd() : entry?.value;
  };
  return {
    kubeconfig: await valueOf("kubernetes:kubeconfig"),
    context: context ?? (await valueOf("kubernetes:context")),
  };
}

/** A key of `pulumi config --json`. */
interface Entry {
  readonly value?: string;
  readonly secret: boolean;
}
