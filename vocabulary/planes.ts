// The trust planes, and what each of them has: issuers, trust bundles, leaves.

import { z } from "zod";

import { type ConfigMapKeyRef, entryFields, leafFields, type LeafRef } from "./references.ts";

/**
 * One certificate authority per trust plane, so that a client certificate opens exactly one door. In the reverse order of a
 * request's path: store, control, traffic.
 *
 * - `etcd`: etcd's client port and its client, APISIX.
 * - `etcd-peer`: etcd's members among themselves (no RBAC applies there, so client leaves must not pass).
 * - `admin`: the Admin API and its clients.
 * - `edge`: the gateway's server certificate and the clients it accepts.
 * - `upstream`: the services behind the gateway, with APISIX as their client.
 */
export const planes = ["etcd", "etcd-peer", "admin", "edge", "upstream"] as const;
/** One of them: `etcd`, `etcd-peer`, `admin`, `edge` or `upstream`; a certificate of one plane opens no other's door. */
export type Plane = (typeof planes)[number];

/** Planes that issue leaves in other teams' namespaces too: their issuers are ClusterIssuers. */
export const sharedPlanes: readonly Plane[] = ["edge", "upstream"];

export interface Issuer {
  readonly kind: "Issuer" | "ClusterIssuer";
  readonly name: string;
  readonly group: string;
}

/** What belongs to one plane. */
export type Of<P extends Plane, Value> = Value & { readonly plane: P };

/** Who signs a plane's leaves. */
export type IssuerRef<P extends Plane = Plane> = Of<P, Issuer>;

/** Where a plane's public roots are; give this to whoever must verify the plane's certificates. */
export type TrustRef<P extends Plane = Plane> = Of<P, ConfigMapKeyRef>;

/** The Secret that a leaf and its key are issued into; the key itself is never passed on. */
export type CertSecretRef<P extends Plane = Plane> = Of<P, LeafRef>;

export function issuerOf<P extends Plane>(plane: P): z.ZodType<Of<P, Issuer>> {
  const kind = z.enum(["Issuer", "ClusterIssuer"]);
  return z.object({ plane: z.literal(plane), kind, name: z.string(), group: z.string() });
}

export function trustOf<P extends Plane>(plane: P): z.ZodType<TrustRef<P>> {
  return z.object({ ...entryFields, plane: z.literal(plane) });
}

export function leafOf<P extends Plane>(plane: P): z.ZodType<CertSecretRef<P>> {
  return z.object({ ...leafFields, plane: z.literal(plane) });
}

/** The same field for every plane. */
export function perPlane<Field extends z.ZodType>(field: Field) {
  return z
    .object(Object.fromEntries(planes.map((plane) => [plane, field])) as { readonly [P in Plane]: Field })
    .readonly();
}

/** What each plane has of its own. */
export function ofEachPlane<Value>(own: <P extends Plane>(plane: P) => z.ZodType<Of<P, Value>>) {
  const fields = Object.fromEntries(planes.map((plane) => [plane, own(plane)]));
  return z.object(fields as { readonly [P in Plane]: z.ZodType<Of<P, Value>> }).readonly();
}
