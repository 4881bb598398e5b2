// The life cycle of an Admin API object: planned, checked, owned, and compared with what is live.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import type { Body } from "./body.ts";
import { bundleProblems, coversAll, digestOf, namesCover, notAfter, pairProblems } from "./certificates.ts";
import { type Failure, hasUnknown, objections, type Props } from "./checks.ts";
import type { AdminClient } from "./client.ts";
import { differences, presentable } from "./compare.ts";
import { AdminError, MissingObject, Transient, Unconfirmed, Unusable } from "./errors.ts";
import {
  type ObjectKind,
  routeBody,
  type RouteSpec,
  sslBody,
  type SslSpec,
  upstreamBody,
  type UpstreamSpec,
} from "./objects.ts";
import { ownershipOf, refusal } from "./ownership.ts";
import type { AdminEndpoint, ConfigMapKeyRef, LeafRef } from "./references.ts";
import type { Lifecycle } from "./resources.ts";
import { type Access, adminClient, patienceOf } from "./session.ts";

/** What names an object and its owner; part of every object's inputs. */
interface Identity {
  readonly admin: AdminEndpoint;
  readonly objectId: string;
  readonly owner: string;
  readonly adopt?: boolean;
  /** An output: made at creation, and kept. */
  readonly instance?: string;
}

/** What a certificate's inputs name; the Secret and the ConfigMap are read when they are needed. */
interface SslInputs extends Identity, Pick<SslSpec, "use" | "snis" | "protocols"> {
  readonly certificate: LeafRef;
  readonly clients?: "anyone" | { readonly trust: ConfigMapKeyRef; readonly depth?: number };
}

/** The life cycle of one kind of object. */
export function adminObject(kind: ObjectKind): Lifecycle {
  return {
    async check(inputs, access) {
      const failures = objections(kind, inputs);
      if (failures.length > 0 || hasUnknown(inputs)) return failures;
      return kind === "ssls" ? certificateFailures(inputs, access) : schemaFailures(kind, inputs, access);
    },

    replaces(id, olds, news) {
      const clusters = [olds, news].map(({ admin }) => (admin as Partial<AdminEndpoint> | undefined)?.cluster);
      return [
        ...(news["objectId"] === id || hasUnknown(news["objectId"]) ? [] : ["objectId"]),
        ...(clusters[0] === clusters[1] || hasUnknown(news["admin"]) ? [] : ["admin"]),
      ];
    },

    async drift(olds, news, access) {
      const { admin, objectId } = identity(news);
      const live = await (await adminClient(access, admin)).get(kind, objectId, patienceOf(access).looking);
      if (!live) return ["is gone"];
      try {
        return differences(kind, await desired(kind, news, olds["instance"], access), live);
      } catch (error) {
        if (error instanceof MissingObject) return [error.message];
        throw error;
      }
    },

    async apply(olds, news, access) {
      const { admin, objectId, owner, adopt } = identity(news);
      const client = await adminClient(access, admin);
      const instance = (olds?.["instance"] as string | undefined) ?? randomBytes(6).toString("hex");
      if (kind === "ssls") await reissue(news, access);
      const body = await desired(kind, news, instance, access);
      if (kind === "ssls") refuse(objectId, await certificateFailures(asIssued(news), access));
      // A resource that was renamed, or moved under another parent, still owns its object.
      const owners = [owner, olds?.["owner"]];
      const refused = refusal(`${kind}/${objectId}`, await client.get(kind, objectId), owners, adopt);
      if (refused) throw new Error(refused);
      const outs = { instance, ...certificateFacts(body), live: presentable(body) };
      try {
        await client.put(kind, objectId, body);
      } catch (error) {
        if (olds === undefined && error instanceof Transient) throw new Unconfirmed(objectId, outs, error);
        throw error;
      }
      return { id: objectId, outs };
    },

    async read(id, props, access) {
      const live = await (await adminClient(access, identity(props).admin)).get(kind, id, patienceOf(access).looking);
      return live && { instance: ownershipOf(live).instance, ...certificateFacts(live), live: presentable(live) };
    },

    async remove(id, props, access) {
      const { admin, owner, instance } = identity(props);
      const client = await adminClient(access, admin);
      const live = await client.get(kind, id);
      if (!live) return;
      const now = ownershipOf(live);
      if (now.owner !== owner || now.instance !== instance) {
        console.log(
          `${kind}/${id} stays: it now belongs to ${now.owner === owner ? "its replacement" : (now.owner ?? "nobody")}.`,
        );
        return;
      }
      if (kind === "ssls") await refuseWhileUsed(client, id);
      await deleteOnceReleased(client, kind, id);
    },
  };
}

/** The body that the inputs ask for; a certificate's Secret is read now. */
async function desired(kind: ObjectKind, inputs: Props, instance: unknown, access: Access): Promise<Body> {
  const owner = { owner: identity(inputs).owner, instance: String(instance) };
  if (kind === "upstreams") return upstreamBody(inputs as unknown as UpstreamSpec, owner);
  if (kind === "routes") return routeBody(inputs as unknown as RouteSpec, owner);
  const { certificate, clients, use, snis, protocols } = inputs as unknown as SslInputs;
  const pair = await access.keyPair(certificate);
  const accepted =
    clients === undefined || clients === "anyone"
      ? undefined
      : { bundle: await access.trustBundle(clients.trust), depth: clients.depth };
  return sslBody({ use, pair, secret: certificate, snis, clients: accepted, protocols }, owner);
}

/** Milliseconds between two looks at what passes by itself. */
const pause = 250;

/** Milliseconds that a leaf whose declared names have changed may take to be issued anew. */
const reissueTime = 30_000;

/** Waits until the Secret holds the leaf that is declared: cert-manager is at it when the same update changed its names. */
async function reissue(inputs: Props, access: Access): Promise<void> {
  const { certificate } = inputs as unknown as SslInputs;
  const deadline = Date.now() + reissueTime;
  while (!coversAll((await access.keyPair(certificate)).cert, certificate.dnsNames ?? [])) {
    if (Date.now() > deadline) return; // What is wrong is said by the checks that follow.
    await sleep(pause);
  }
}

/** The inputs with the Secret's own names in place of the declared ones: what is put now must do for the SNIs. */
function asIssued(inputs: Props): Props {
  const { certificate } = inputs as unknown as SslInputs;
  return { ...inputs, certificate: { namespace: certificate.namespace, name: certificate.name } };
}

/** What the server would accept and then fail every handshake with. Silent while the Secret is still to be issued. */
async function certificateFailures(inputs: Props, access: Access): Promise<Failure[]> {
  const { admin, certificate, clients, snis = [] } = inputs as unknown as SslInputs;
  const { dnsNames } = certificate;
  const undeclared = dnsNames ? snis.filter((name) => !namesCover(dnsNames, name)) : [];
  if (undeclared.length > 0) {
    return undeclared.map((name) => ({
      property: "snis",
      reason: `The Certificate of Secret ${certificate.namespace}/${certificate.name} is declared without ${name}. Add it to its dnsNames, or take it out of snis.`,
    }));
  }
  try {
    await access.expect(admin.cluster);
    const live = await access.keyPair(certificate);
    // A leaf without its declared names is about to be issued anew: its old names say nothing.
    const pair = pairProblems(live, coversAll(live.cert, dnsNames ?? []) ? snis : []);
    const failures = pair.map((problem) => ({
      property: "certificate",
      reason: `Secret ${certificate.namespace}/${certificate.name}: ${problem} Correct the Certificate that issues it, or name another Secret.`,
    }));
    if (clients === undefined || clients === "anyone") return failures;
    const { namespace, name } = clients.trust;
    const bundle = bundleProblems(await access.trustBundle(clients.trust));
    return [
      ...failures,
      ...bundle.map((problem) => ({
        property: "clients",
        reason: `ConfigMap ${namespace}/${name}: ${problem} Take it out of the bundle, or name another ConfigMap.`,
      })),
    ];
  } catch (error) {
    return objectionOrNothing(error);
  }
}

/** What the server's own schema objects to, where a server can be asked. A first preview has none. */
async function schemaFailures(kind: ObjectKind, inputs: Props, access: Access): Promise<Failure[]> {
  try {
    const client = await adminClient(access, identity(inputs).admin);
    if (unreachable.has(client)) return [];
    try {
      const deadline = Math.min(5_000, patienceOf(access).looking.silence);
      const reason = await client.validate(kind, await desired(kind, inputs, "preview", access), { deadline });
      return reason === undefined ? [] : [{ property: /property "(\w+)"/.exec(reason)?.[1] ?? "", reason }];
    } catch (error) {
      if (!(error instanceof Unusable)) unreachable.add(client); // Not again for each object of the preview.
      throw error;
    }
  } catch (error) {
    return objectionOrNothing(error);
  }
}

const unreachable = new WeakSet<AdminClient>();

/** Checking is optional where nothing is up yet; the wrong cluster or key is wrong at once. */
function objectionOrNothing(error: unknown): Failure[] {
  return error instanceof Unusable ? [{ property: "admin", reason: error.message }] : [];
}

function refuse(id: string, failures: readonly Failure[]): void {
  if (failures.length > 0) throw new Error(`ssls/${id}: ${failures.map(({ reason }) => reason).join(" ")}`);
}

/** Milliseconds that a server may go on believing in a user of an upstream that has been deleted. */
const releaseTime = 10_000;

/**
 * The server looks for users in what its worker has heard of etcd, which lags behind a route that was deleted or moved a
 * moment ago. When etcd itself knows of no user, the refusal passes.
 */
async function deleteOnceReleased(client: AdminClient, kind: ObjectKind, id: string): Promise<void> {
  for (const end = Date.now() + releaseTime; ; await sleep(pause)) {
    try {
      await client.delete(kind, id);
      return;
    } catch (error) {
      const used = error instanceof AdminError && error.said.includes("still using it");
      if (!used || Date.now() > end || (await refersTo(client, id))) throw error;
    }
  }
}

/** Whether a route or service names the upstream, be it in a plugin's settings. */
async function refersTo(client: AdminClient, upstream: string): Promise<boolean> {
  const users = await Promise.all((["routes", "services"] as const).map((kind) => client.list(kind)));
  return JSON.stringify(users).includes(`"upstream_id":${JSON.stringify(upstream)}`);
}

/** The server would let a certificate go that upstreams still present. */
async function refuseWhileUsed(client: AdminClient, id: string): Promise<void> {
  const users = await Promise.all(
    (["upstreams", "services", "routes"] as const).map(async (kind) =>
      (await client.list(kind))
        .filter((object) =>
          [object, object["upstream"] as Body | undefined].some(
            (holder) => (holder?.["tls"] as Body | undefined)?.["client_cert_id"] === id,
          ),
        )
        .map((object) => `${kind}/${String(object["id"])}`),
    ),
  );
  const holders = users.flat();
  if (holders.length > 0) {
    throw new AdminError(
      400,
      `ssls/${id}`,
      `is still presented by ${holders.join(", ")}`,
      "Give these another client certificate or delete them first.",
    );
  }
}

function certificateFacts(body: Body): Props {
  const cert = body["cert"];
  return typeof cert === "string" ? { digest: digestOf(cert), notAfter: notAfter(cert).toISOString() } : {};
}

function identity(inputs: Props): Identity {
  return inputs as unknown as Identity;
}
