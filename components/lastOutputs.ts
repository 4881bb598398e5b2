// The stack's own outputs as its last `up` left them: what a program may know about the state that it is about to change.

import { until } from "@mtls-everywhere/cluster-access";
import * as pulumi from "@pulumi/pulumi";

/** How long a state may take to be written, in milliseconds. */
const patience = 10_000;

/** The outputs by name; none before a first `up` has succeeded. */
export async function lastOutputs(): Promise<Readonly<Record<string, unknown>>> {
  // What is still wrong in the end says so itself.
  const { outputs } = (await until(unlessBeingWritten, { within: patience })) ?? (await read());
  return { ...outputs };
}

interface Answer {
  readonly outputs?: object;
}

async function read(): Promise<Answer> {
  const name = [pulumi.getOrganization(), pulumi.getProject(), pulumi.getStack()].join("/");
  // What a StackReference invokes, which itself would stay in the state that it reads.
  return (await pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", { name })) as Answer;
}

/**
 * In a folder, Pulumi writes the attributes beside the state in place at each step of the running update: a read meanwhile may find them
 * empty ("EOF").
 */
async function unlessBeingWritten(): Promise<Answer | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Error && error.message.includes("failed to load checkpoint")) return undefined;
    throw error;
  }
}
