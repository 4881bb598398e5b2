// Checks of inputs that need no server; parts that a preview does not know yet are skipped.

import type { z } from "zod";

/** One objection: the property, and a sentence that says what to do. */
export interface Failure {
  readonly property: string;
  readonly reason: string;
}

/** Inputs as the engine passes them: plain JSON, in which any part may be unknown during a preview. */
export type Props = Readonly<Record<string, unknown>>;

/** Stands for a value that is not known yet (`unknownValue` in the SDK's runtime/rpc). */
export const unknownValue = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Whether any part of a value is not known yet. */
export function hasUnknown(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(hasUnknown);
  return value === unknownValue;
}

/** Everything that a schema objects to in inputs, as far as they are known. */
export function objections(schema: z.ZodType, inputs: Props): Failure[] {
  const { error } = schema.safeParse(inputs);
  return (error?.issues ?? [])
    .filter(({ code, path }) => code === "unrecognized_keys" || !hasUnknown(valueAt(inputs, path)))
    .map(({ path, message }) => ({ property: nameOf(path), reason: message }));
}

function valueAt(inputs: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), inputs);
}

function isObject(value: unknown): value is Readonly<Record<PropertyKey, unknown>> {
  return typeof value === "object" && value !== null;
}

/** As a program writes it, e.g. `nodes[0].host`. */
function nameOf(path: readonly PropertyKey[]): string {
  // The inputs' objectId and the resource's own name both show as `id`.
  if (path[0] === "objectId" || path[0] === "owner") return "id";
  return path.map((key, at) => (typeof key === "number" ? `[${key}]` : `${at ? "." : ""}${String(key)}`)).join("");
}
