// Whose object it is: every object carries its owner in labels, since the Admin API itself knows no owners.

import { type Body, labels, type Ownership } from "./objects.ts";

/** The owner that an object's labels name, if any. */
export function ownershipOf(object: Body): Partial<Ownership> {
  const { [labels.owner]: owner, [labels.instance]: instance } = (object["labels"] ?? {}) as Record<string, string>;
  return { ...(owner && { owner }), ...(instance && { instance }) };
}

/** Why an object may not be written, or nothing when it may: its own owner may always, others only when they adopt it. */
export function refusal(object: string, live: Body | undefined, owner: string, adopt = false): string | undefined {
  const { owner: other } = live ? ownershipOf(live) : { owner };
  if (adopt || other === owner) return undefined;
  const whose = other === undefined ? "was made by hand or by another tool" : `belongs to ${other}`;
  return `${object} exists already and ${whose}. Choose another id, or set adopt: true to take it over.`;
}
