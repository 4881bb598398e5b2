// Marks every Kubernetes object with the stack that created it, so that a killed update's leftovers can be told from other people's objects.

import * as pulumi from "@pulumi/pulumi";

/** Label of every object: `mtls-everywhere/stack: <stack>`. */
export const stackLabelKey = "mtls-everywhere/stack";

/** A stack's name as a label's value: at most 63 letters, digits, `-`, `_` and `.`. */
export function stackLabelValue(stack: string): string {
  return stack.replaceAll(/[^\w.-]/g, "-").slice(0, 63);
}

/** Puts the label on every Kubernetes object that the program registers from now on. */
export function labelObjects(stack: string): void {
  // Plain metadata stays plain: in an output, one unknown would hide name and namespace too, and a preview of an object
  // without a name announces its replacement.
  const labelled = (metadata?: Metadata) => ({
    ...metadata,
    labels: { ...metadata?.labels, [stackLabelKey]: stackLabelValue(stack) },
  });
  void pulumi.runtime.registerResourceTransform(({ type, props, opts }) => {
    // A Helm release has no metadata of its own; its namespace is labelled.
    if (!/^kubernetes:[^:]+:[A-Z]/.test(type) || type.startsWith("kubernetes:helm.sh/")) return undefined;
    const { metadata } = props as { readonly metadata?: Metadata | pulumi.Output<Metadata> };
    const deferred = pulumi.Output.isInstance(metadata) || pulumi.isUnknown(metadata);
    return {
      props: { ...props, metadata: deferred ? pulumi.output(metadata).apply(labelled) : labelled(metadata) },
      opts,
    };
  });
}

interface Metadata {
  readonly labels?: Readonly<Record<string, string>>;
}
