// For other teams' stacks: the platform's outputs, read from its stack and checked, as one typed value.

import * as pulumi from "@pulumi/pulumi";

import { outputNames, parseOutputs, type PlatformOutputs, refuseOldGateway } from "./outputs.ts";

/**
 * The outputs of a platform's stack, `<organization>/<project>/<stack>`. They are known at preview too: they come from
 * the stack's state, as its last `pulumi up` left them.
 * @example
 * const platform = await readPlatform("organization/mtls-everywhere/prod");
 * @throws RunError when an output is missing, has another form, or is of another version or release: with what to do about it.
 */
export async function readPlatform(stack: string): Promise<PlatformOutputs> {
  const reference = new pulumi.StackReference(stack);
  const entries = await Promise.all(
    outputNames().map(async (name) => [name, (await reference.getOutputDetails(name)).value] as const),
  );
  try {
    const outputs = Object.fromEntries(entries.filter(([, value]) => value !== undefined));
    return refuseOldGateway(parseOutputs(outputs, stack), stack);
  } catch (error) {
    throw new pulumi.RunError(`The platform of stack ${stack} cannot be used.\n${(error as Error).message}`);
  }
}
