// Desired against live: what differs, in sentences without secrets.

import { isDeepStrictEqual } from "node:util";

import type { Body } from "./body.ts";

/** One sentence for each difference, e.g. `nodes is [...], wanted [...]`. Empty when the live object is as desired. */
export function differences(desired: Body, live: Body): string[] {
  return compare("", desired, live);
}

function compare(path: string, desired: unknown, live: unknown): string[] {
  if (same(desired, live)) return [];
  if (isObject(desired) && isObject(live)) {
    const fields = [...new Set([...Object.keys(desired), ...Object.keys(live)])].sort();
    return fields.flatMap((field) => compare(path ? `${path}.${field}` : field, desired[field], live[field]));
  }
  // Plugins hold secrets, which the server returns in the clear.
  if (path.startsWith("plugins")) return [`${path} is not as wanted`];
  if (live === undefined) return [`${path} is missing, wanted ${JSON.stringify(desired)}`];
  return [
    `${path} is ${JSON.stringify(live)}, ${desired === undefined ? "not wanted" : `wanted ${JSON.stringify(desired)}`}`,
  ];
}

/** Lua has one empty table: `{}` and `[]` are the same to the server. */
function same(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(a, b) || (isEmpty(a) && isEmpty(b));
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function isObject(value: unknown): value is Body {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
