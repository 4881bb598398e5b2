// Whose object it is: every object carries its owner in labels, since the Admin API itself knows no owners.

import { type Body, labels } from "./body.ts";
import type { Ownership } from "./objects.ts";

/** The owner that an object's labels name, if any. */
export function ownershipOf(object: Body): Partial<Ownership> {
  const { [labels.owner]: owner, [labels.instance]: instance } = (object["labels"] ?? {}) as Record<string, string>;
  return { ...(owner && { owner }), ...(instance && { instance }) };
}

/** Why an object may not be written, or nothing when it may: one of its owners may always, others only when they adopt it. */
export function refusal(
  object: string,
  live: Body | undefined,
  owners: readonly unknown[],
  adopt = false,
): string | undefined {
  if (live === undefined || adopt) return undefined;
  const { owner: other } = ownershipOf(live);
  if (other !== undefined && owners.includes(other)) return undefined;
  const whose = other === undefined ? "was made by hand or by another tool" : `belongs to ${other}`;
  return `${object} exists already and ${whose}. Choose another id, or set adopt: true to take it over.`;
}
