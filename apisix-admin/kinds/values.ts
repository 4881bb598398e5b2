// The values that inputs are made of, each with the sentence that refuses it.

import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import { z } from "zod";

import type { Body } from "../body.ts";

/** What names an object and its owner; part of every object's inputs. */
export const objectIdentity = z.object({
  admin: z.custom<AdminEndpoint>(isEndpoint, "Pass the Admin API to create the object in: the platform's admin."),
  objectId: z.string().regex(/^[a-zA-Z0-9-_.]{1,64}$/, {
    error: ({ input }) =>
      `"${input}" is not a valid id: use at most 64 letters, digits, "-", "_" and ".". Set id when the resource's name is not valid.`,
  }),
  owner: z.string().max(256, "Project, stack and name together exceed the 256 characters of a label."),
  adopt: z.boolean().optional(),
  /** An output: set at creation, and kept. */
  instance: z.string().optional(),
});
export type ObjectIdentity = z.infer<typeof objectIdentity>;

/** A value for which the condition holds. */
export function value<T>(holds: (value: T) => boolean, reason: (value: unknown) => string) {
  return z.custom<T>((given) => holds(given as T), { error: ({ input }) => reason(input), abort: false });
}

/** One of these words. */
export function oneOf<const Words extends readonly string[]>(words: Words) {
  return z.enum(words, {
    error: ({ input }) => `"${String(input)}" is not a valid value: use one of ${words.join(", ")}.`,
  });
}

/** A text that must be given. */
export function text(missing: string) {
  return z.string({ error: missing }).min(1, missing);
}

/** A text that `fault` finds nothing wrong with; a missing one is judged as "". */
export function textWithout(fault: (given: string) => string | undefined) {
  const said = ({ input }: { readonly input?: unknown }) => fault(typeof input === "string" ? input : "");
  return z.string({ error: said }).refine((given) => fault(given) === undefined, { error: said });
}

/** A list that must be given. */
export function listOf<Item extends z.ZodType>(item: Item, missing: string) {
  return z.array(item, { error: missing }).min(1, missing);
}

/** An object with these fields and no others: a misspelt one would be silently ignored. */
export function record<const Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const names = Object.keys(shape).join(", ");
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `"${issue.keys.join('", "')}" is not a known field: use ${names}.`
        : `This must be an object with ${names}.`,
  });
}

/** A whole number within bounds. */
export function whole(least: number, most = Infinity) {
  const bounds = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
  return value<number>(
    (given) => Number.isInteger(given) && given >= least && given <= most,
    (given) => `This must be a whole number ${bounds}, not ${JSON.stringify(given)}.`,
  );
}

export const seconds = value<number>(
  (given) => typeof given === "number" && given >= 0,
  (given) => `Give seconds as a number of at least 0, not ${JSON.stringify(given)}.`,
);

export const description = z.string().max(256, "At most 256 characters.");

/** Time limits in seconds, each above 0. */
export interface Timeouts {
  /** To connect. */
  readonly connect: number;
  /** Between two writes of the request. */
  readonly send: number;
  /** Between two reads of the answer. */
  readonly read: number;
}

export const timeouts = value<Timeouts>(
  (limits) => isObject(limits) && [limits.connect, limits.send, limits.read].every(isDuration),
  () => "Give connect, send and read in seconds, each above 0.",
);

export function limitsOf({ connect, send, read }: Timeouts): Body {
  return { connect, send, read };
}

export function isObject(value: unknown): value is Body {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

export function isPort(value: unknown): value is number {
  return isCount(value) && value >= 1 && value <= 65_535;
}

function isDuration(seconds: unknown): boolean {
  return typeof seconds === "number" && seconds > 0;
}

function isEndpoint(value: unknown): value is AdminEndpoint {
  return isObject(value) && typeof value["cluster"] === "string";
}
