// Whose object it is: every object carries its owner, since the Admin API itself has no notion of owners.

import { type Body, labels } from "./body.ts";

/** Whose object it is: the owner's name, and which of the owner's creations under this id. */
export interface Ownership {
  readonly owner: string;
  /** Differs for each creation: when a resource is replaced under the same id, the old one must not delete the new one's object. */
  readonly instance: string;
}

/** How the objects of a kind carry their owner. */
export interface OwnerMark {
  /** The object's id in the Admin API. */
  id(objectId: string, owner: string): string;
  /** The body with its owner in it. */
  put(body: Body, ownership: Ownership): Body;
  /** Whose object it is, as far as it says; one that is found under our own id may need to say nothing. */
  read(object: Body, ours: Partial<Ownership>): Partial<Ownership>;
}

/** In labels: anyone can take an id, and the labels say who owns it. */
export const byLabels: OwnerMark = {
  id: (objectId) => objectId,
  put: (body, { owner, instance }) => ({
    ...body,
    labels: { [labels.owner]: owner, [labels.instance]: instance, ...(body["labels"] as Body | undefined) },
  }),
  read: ownershipOf,
};

/** The owner that an object's labels name, if any. */
export function ownershipOf(object: Body): Partial<Ownership> {
  const { [labels.owner]: owner, [labels.instance]: instance } = (object["labels"] ?? {}) as Record<string, string>;
  return { ...(owner && { owner }), ...(instance && { instance }) };
}

/** Why an object of this owner may not be written, or undefined when it may: our own always, others' only when adopted. */
export function refusal(
  object: string,
  whose: Partial<Ownership> | undefined,
  owners: readonly unknown[],
  adopt = false,
): string | undefined {
  if (whose === undefined || adopt || (whose.owner !== undefined && owners.includes(whose.owner))) return undefined;
  const maker = whose.owner === undefined ? "was created by hand or by another tool" : `belongs to ${whose.owner}`;
  return `${object} already exists and ${maker}. Choose another id, or set adopt: true to take it over.`;
}
