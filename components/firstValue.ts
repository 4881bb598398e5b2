// What a stack was created with and cannot change: the state keeps it, whatever the configuration says later.

import * as pulumi from "@pulumi/pulumi";

export interface FirstValue<T> {
  /** What the state holds; undefined at a preview that leaves it out by `--target`. */
  readonly value: T | undefined;
  /** For `dependsOn`: what depends on it is destroyed before it. */
  readonly record: pulumi.Stash;
}

/** The value of the first `up`: this one, when there was none before. */
export async function firstValue<T>(name: string, input: T): Promise<FirstValue<T>> {
  const record = new pulumi.Stash(name, { input }, { ignoreChanges: ["input"] });
  return { value: await known(record.output as pulumi.Output<T>), record };
}

/** The value, or undefined where it is not known: `apply` would wait forever. */
async function known<T>(output: pulumi.Output<T>): Promise<T | undefined> {
  // The types mark it as internal to Pulumi; there is no other way to ask.
  const { isKnown } = output as unknown as { readonly isKnown: Promise<boolean> };
  return (await isKnown) ? new Promise((resolve) => output.apply(resolve)) : undefined;
}
