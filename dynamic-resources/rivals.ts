// The objects beside one, at a preview: the live ones, and those that the same preview wants and that are nowhere else yet.

import { type AdminClient, type Body, ownershipOf } from "@mtls-everywhere/apisix-admin";
import type { KindName } from "@mtls-everywhere/apisix-admin/kinds/registry";
import type { Access, TimeLimits } from "@mtls-everywhere/cluster-access";

/** The others of its kind, each as it is wanted where that is known. Notes the object for those that are asked about later. */
export function othersBeside(access: Access, place: string, own: Body, live: readonly Body[]): readonly Body[] {
  const places = wanted.get(access) ?? new Map<string, Map<unknown, Body>>();
  const objects = places.get(place) ?? new Map<unknown, Body>();
  wanted.set(access, places.set(place, objects.set(own["id"], own)));
  const { owner } = ownershipOf(own);
  return [...objects.values(), ...live.filter(({ id }) => !objects.has(id))].filter(
    (other) => other["id"] !== own["id"] && ownershipOf(other).owner !== owner,
  );
}

const wanted = new WeakMap<Access, Map<string, Map<unknown, Body>>>();

/** Milliseconds for which a list serves all that a preview asks: it is long where there are many objects. */
const freshFor = 10_000;

/** The live objects of a kind as they were a moment ago. */
export function recently(client: AdminClient, kind: KindName, limits: TimeLimits): Promise<Body[]> {
  const lists = listed.get(client) ?? new Map<KindName, List>();
  listed.set(client, lists);
  const known = lists.get(kind);
  if (known && performance.now() - known.at < freshFor) return known.objects;
  const objects = client.list(kind, limits).then((list) => [...list]);
  lists.set(kind, { at: performance.now(), objects });
  return objects;
}

interface List {
  readonly at: number;
  readonly objects: Promise<Body[]>;
}

const listed = new WeakMap<AdminClient, Map<KindName, List>>();
