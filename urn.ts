// The name that Pulumi knows a resource by, taken apart.

/** `urn:pulumi:<stack>::<project>::<type>$<type>::<name>` */
export interface Urn {
  readonly stack: string;
  readonly project: string;
  /** From the outermost parent's type, without the stack's, to the resource's own. */
  readonly types: readonly string[];
  readonly name: string;
}

export function readUrn(urn: string): Urn {
  const [head = "", project = "", types = "", ...name] = urn.split("::");
  return { stack: head.replace(/^urn:pulumi:/, ""), project, types: types.split("$"), name: name.join("::") };
}
