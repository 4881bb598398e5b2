// Whose object it is: every object carries its owner in a label, since the Admin API itself knows no owners.

import { type Body, labels } from "./objects.ts";

/** The owner that an object's label names, if any. */
export function ownerOf(object: Body): string | undefined {
  const owner = (object["labels"] as Body | undefined)?.[labels.owner];
  return typeof owner === "string" ? owner : undefined;
}

/** Why an object may not be written, or nothing when it may: its own owner may always, others only when they adopt it. */
export function refusal(object: string, live: Body | undefined, owner: string, adopt = false): string | undefined {
  if (!live || adopt || ownerOf(live) === owner) return undefined;
  const whose = ownerOf(live) === undefined ? "was made by hand or by another tool" : `belongs to ${ownerOf(live)}`;
  return `${object} exists already and ${whose}. Choose another id, or set adopt: true to take it over.`;
}
