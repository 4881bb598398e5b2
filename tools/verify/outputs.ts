// The stack's outputs, fetched with the Pulumi CLI or read from a file, and checked before use.

import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";

import { Cluster } from "@mtls-everywhere/cluster-access/cluster";

import { parseOutputs, type PlatformOutputs } from "../../outputs.ts";
import { clusterOf, pulumi } from "../pulumiCli.ts";

/** Where the outputs come from; by default the selected stack. */
export interface OutputsSource {
  readonly stack?: string | undefined;
  /** A file with the output of `pulumi stack output --json`; `-` is standard input. */
  readonly file?: string | undefined;
}

export async function readOutputs(source: OutputsSource, project: string): Promise<PlatformOutputs> {
  const json =
    source.file === undefined
      ? await pulumi({ project, stack: source.stack }, ["stack", "output", "--json"], instead)
      : await fromFile(source.file);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new Error(`The stack outputs are not JSON: ${(error as Error).message}`);
  }
  return parseOutputs(value, source.stack);
}

/**
 * A stack's platform: its outputs, and its cluster, or that of another kubeconfig context.
 * @throws if the cluster is not the one that the platform lives in.
 */
export async function platformOf(
  stack: string | undefined,
  context: string | undefined,
): Promise<{ readonly outputs: PlatformOutputs; readonly cluster: Cluster }> {
  const project = `${import.meta.dirname}/../..`;
  const outputs = await readOutputs({ stack }, project);
  const cluster = new Cluster(await clusterOf({ stack, project }, context));
  await cluster.expect(outputs.admin.cluster, "the platform");
  return { outputs, cluster };
}

/** The alternative where there is no CLI. */
const instead = ", or give the outputs with --outputs FILE";

async function fromFile(file: string): Promise<string> {
  return file === "-" ? text(process.stdin) : readFile(file, "utf8");
}
