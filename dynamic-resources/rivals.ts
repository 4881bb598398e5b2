// The other objects next to one, in a preview: the live ones, and those that the same preview plans.

import { type AdminClient, type Body, ownershipOf } from "@mtls-everywhere/apisix-admin";
import type { KindName } from "@mtls-everywhere/apisix-admin/kinds/registry";
import type { Access, TimeLimits } from "@mtls-everywhere/cluster-access";

/** The others of its kind, each as planned if that is known. Records the object for those that ask later. */
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

/** Milliseconds for which a preview reuses a list: with many objects, it is long. */
const freshFor = 10_000;

/** The live objects of a kind as of a moment ago. */
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
