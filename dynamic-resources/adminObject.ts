// The life cycle of an Admin API object of any kind: planned, checked, owned, and compared with what is live.

import { randomBytes } from "node:crypto";

import { type AdminClient, byLabels, labelledSeal, ownershipOf, refusal } from "@mtls-everywhere/apisix-admin";
import { type Failure, hasUnknown, type Props } from "@mtls-everywhere/apisix-admin/checks";
import { differences } from "@mtls-everywhere/apisix-admin/compare";
import type { Kind, Wanted } from "@mtls-everywhere/apisix-admin/kinds/kind";
import type { KindName } from "@mtls-everywhere/apisix-admin/kinds/registry";
import { objectIdentity } from "@mtls-everywhere/apisix-admin/kinds/values";
import {
  type Access,
  AdminError,
  MissingEntry,
  MissingObject,
  type TimeLimits,
  timeLimitsOf,
  Transient,
  until,
  Unusable,
} from "@mtls-everywhere/cluster-access";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";

import type { Lifecycle } from "./lifecycle.ts";
import { gatewayClient } from "./loss.ts";
import { othersBeside, recently } from "./rivals.ts";
import { Unconfirmed } from "./unconfirmed.ts";

export function adminObject(name: KindName, kind: Kind): Lifecycle {
  /** Where an object is, by its inputs or its state. */
  const placed = (props: Props) => {
    const { admin, objectId, owner, adopt, instance } = objectIdentity.parse(props);
    return { admin, owner, adopt, instance, id: kind.mark.id(objectId, owner) };
  };

  /** The body that the inputs ask for, labelled with what seals it. */
  const bodyOf = async (
    wanted: Wanted,
    { admin }: { readonly admin: AdminEndpoint },
    instance: string,
    access: Access,
  ) => labelledSeal(name, await wanted.body(instance, access), admin.sealedBy);

  /** Asks the server of a preview, which waits for it once and not again for each object. */
  const asked = async <T>(
    { admin }: { readonly admin: AdminEndpoint },
    access: Access,
    ask: (client: AdminClient, limits: TimeLimits) => Promise<T[]>,
  ): Promise<T[]> => {
    const client = await gatewayClient(access, admin);
    if (unreachable.has(client)) return [];
    try {
      return await ask(client, { deadline: Math.min(5_000, timeLimitsOf(access).reading.unanswered) });
    } catch (error) {
      if (!(error instanceof Unusable)) unreachable.add(client);
      throw error;
    }
  };

  /** What the server's own schema objects to, if there is a server to ask: a first preview has none. */
  const schemaFailures = async (inputs: Props, access: Access): Promise<Failure[]> => {
    try {
      const place = placed(inputs);
      return await asked(place, access, async (client, limits) => {
        const body = await kind.wanted(inputs).body("preview", access);
        const reason = await client.validate(name, { id: place.id, ...body }, limits);
        return reason === undefined ? [] : [{ property: /property "(\w+)"/.exec(reason)?.[1] ?? "", reason }];
      });
    } catch (error) {
      // Checks are optional while nothing is up yet; a wrong cluster or key is reported at once.
      return error instanceof Unusable ? [{ property: "admin", reason: error.message }] : [];
    }
  };

  /** Live objects of other owners. */
  const othersThan = async (client: AdminClient, id: string, owners: readonly unknown[], limits?: TimeLimits) =>
    (await client.list(name, limits)).filter(
      (object) => object["id"] !== id && !owners.includes(ownershipOf(object).owner),
    );

  /** Conflicts with other owners' objects, if there is a server to ask. */
  const clashes = async (inputs: Props, access: Access): Promise<Failure[]> => {
    const wanted = kind.wanted(inputs);
    if (wanted.clashes === undefined) return [];
    try {
      const place = placed(inputs);
      return await asked(place, access, async (client, limits) => {
        const others = await othersThan(client, place.id, [place.owner], limits);
        if (others.length === 0) return [];
        // Its certificate may not have been issued yet.
        return wanted.clashes!(others, await wanted.body("preview", access).catch(() => undefined));
      });
    } catch {
      return []; // The other checks report what is wrong with the connection.
    }
  };

  const refusals = async (inputs: Props, access: Access): Promise<Failure[]> => {
    const { problems } = kind.wanted(inputs);
    const own = await (problems ? problems(access) : schemaFailures(inputs, access));
    return own.length > 0 ? own : clashes(inputs, access);
  };

  /** Says what is doubtful beside others, of which a first preview knows those alone that the program makes. */
  const warn = async (inputs: Props, access: Access): Promise<void> => {
    const { admin, objectId, owner } = inputs;
    const fields = hasUnknown([objectId, owner]) ? undefined : kind.rivals?.fields(inputs);
    if (fields === undefined) return;
    const id = kind.mark.id(String(objectId), String(owner));
    const own = byLabels.put({ id, ...fields }, { owner: String(owner), instance: "preview" });
    const live = hasUnknown(admin)
      ? []
      : await asked({ admin: admin as AdminEndpoint }, access, (client, limits) =>
          recently(client, name, limits),
        ).catch(() => []);
    const others = othersBeside(access, `${name} ${JSON.stringify(admin)}`, own, live);
    for (const doubt of kind.rivals?.doubts(own, others) ?? []) console.log(`warning: ${name}/${id}: ${doubt}`);
  };

  return {
    async check(inputs, access) {
      const failures = kind.objections(inputs);
      if (failures.length > 0) return failures;
      const refused = hasUnknown(inputs) ? [] : await refusals(inputs, access);
      if (refused.length === 0) await warn(inputs, access);
      return refused;
    },

    replaces(id, olds, news) {
      const { admin, objectId, owner } = news;
      const placeless = hasUnknown(objectId) || hasUnknown(owner);
      return [
        ...(placeless || kind.mark.id(String(objectId), String(owner)) === id ? [] : ["objectId"]),
        ...(hasUnknown(admin) || clusterOf(olds["admin"]) === clusterOf(admin) ? [] : ["admin"]),
      ];
    },

    async drift(olds, news, access) {
      const failures = kind.objections(news);
      if (failures.length > 0) return failures.map(({ property, reason }) => `${property}: ${reason}`);
      const place = placed(news);
      const { admin, id } = place;
      const live = await (await gatewayClient(access, admin)).get(name, id, timeLimitsOf(access).reading);
      if (!live) return ["is gone"];
      try {
        const wanted = kind.wanted(news);
        const body = await bodyOf(wanted, place, String(olds["instance"]), access);
        return differences(kind.comparable(body), kind.comparable(wanted.settled(body, live)));
      } catch (error) {
        if (error instanceof MissingObject) return [error.message];
        throw error;
      }
    },

    async apply(olds, news, access) {
      const place = placed(news);
      const { admin, id, owner, adopt } = place;
      const client = await gatewayClient(access, admin);
      const before = olds && placed(olds);
      const instance = before?.instance ?? randomBytes(6).toString("hex");
      const wanted = kind.wanted(news);
      await wanted.beforePut(access, client);
      const body = await bodyOf(wanted, place, instance, access);
      const clashing = wanted.clashes?.(await othersThan(client, id, [owner, before?.owner]), body) ?? [];
      if (clashing.length > 0) throw new Error(clashing.map(({ reason }) => reason).join(" "));
      const live = await client.get(name, id);
      // A resource that was renamed, or moved under another parent, still owns its object.
      const owners = [owner, before?.owner];
      const refused = refusal(`${name}/${id}`, live && kind.mark.read(live, { owner, instance }), owners, adopt);
      if (refused) throw new Error(refused);
      const outs = { instance, ...kind.outputs(body), live: kind.presentable(body) };
      try {
        await client.put(name, id, body);
      } catch (error) {
        if (olds === undefined && error instanceof Transient) throw new Unconfirmed(id, outs, error);
        throw error;
      }
      return { id, outs };
    },

    async read(id, props, access) {
      const { admin, owner, instance } = placed(props);
      const live = await found(async () =>
        (await gatewayClient(access, admin)).get(name, id, timeLimitsOf(access).reading),
      );
      if (!live) return undefined;
      const whose = kind.mark.read(live, { owner, ...(instance && { instance }) });
      return { instance: whose.instance, ...kind.outputs(live), live: kind.presentable(live) };
    },

    async remove(id, props, access) {
      const { admin, owner, instance } = placed(props);
      const gateway = await found(
        async () => {
          const client = await gatewayClient(access, admin);
          return { client, live: await client.get(name, id) };
        },
        (what) => console.log(`${name}/${id} is dropped from the state, since nothing can delete it: ${what}`),
      );
      if (!gateway) return;
      const { client, live } = gateway;
      if (!live) return;
      const whose = kind.mark.read(live, { owner, ...(instance && { instance }) });
      if (whose.owner !== owner || whose.instance !== instance) {
        const now = whose.owner === owner ? "its replacement" : (whose.owner ?? "nobody");
        console.log(`${name}/${id} stays: it now belongs to ${now}.`);
        return;
      }
      await kind.beforeDelete(id, client);
      await deleteOnceReleased(client, name, kind, id);
    },
  };
}

/** What is asked of a gateway; nothing when that is gone, its store, or what opens it. */
async function found<T>(ask: () => Promise<T>, gone: (what: string) => void = () => {}): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    // A name within a Secret that is there may be an old one: the gateway then has another.
    if (!(error instanceof MissingObject) || error instanceof MissingEntry) throw error;
    gone(error.what);
    return undefined;
  }
}

function clusterOf(admin: unknown): unknown {
  return objectIdentity.shape.admin.safeParse(admin).data?.cluster;
}

const unreachable = new WeakSet<AdminClient>();

/** Milliseconds for which a server may still see a deleted user of an object. */
const releaseTime = 10_000;

/**
 * The server looks for users in its worker's view of etcd, which lags behind a route that was deleted or moved a
 * moment ago. When etcd itself holds no user, the refusal passes.
 */
async function deleteOnceReleased(client: AdminClient, name: KindName, kind: Kind, id: string): Promise<void> {
  let refused: unknown;
  const deleted = await until(
    async () => {
      try {
        await client.delete(name, id);
        return true;
      } catch (error) {
        const used = error instanceof AdminError && error.said.includes("still using it");
        if (!used || (await kind.inUse(id, client))) throw error;
        refused = error;
        return false;
      }
    },
    { within: releaseTime },
  );
  if (!deleted) throw refused;
}
