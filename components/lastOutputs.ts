// The stack's own outputs as its last `up` left them: what a program may know about the state that it is about to change.

import * as pulumi from "@pulumi/pulumi";

/** The outputs by name; none before a first `up` has succeeded. */
export async function lastOutputs(): Promise<Readonly<Record<string, unknown>>> {
  const name = [pulumi.getOrganization(), pulumi.getProject(), pulumi.getStack()].join("/");
  // What a StackReference invokes, which itself would stay in the state that it reads.
  const read = (await pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", { name })) as { outputs?: object };
  return { ...read.outputs };
}
