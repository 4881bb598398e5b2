// The trust planes, and what each of them has: issuers, trust bundles, leaves.

import type { ConfigMapKeyRef, LeafRef } from "./references.ts";

/**
 * One certificate authority per trust plane, so that a client certificate opens exactly one door.
 *
 * - `etcd`: etcd's client port and its client, APISIX.
 * - `etcd-peer`: etcd's members among themselves (no RBAC applies there, so client leaves must not pass).
 * - `admin`: the Admin API and its clients.
 * - `edge`: the gateway's server certificate and the clients it accepts.
 * - `upstream`: the services behind the gateway, with APISIX as their client.
 */
export type Plane = "etcd" | "etcd-peer" | "admin" | "edge" | "upstream";

/** All planes, in the order in which a request meets them backwards: store, control, traffic. */
export const planes: readonly Plane[] = ["etcd", "etcd-peer", "admin", "edge", "upstream"];

/** Planes whose leaves other teams' namespaces may ask for: their issuers are ClusterIssuers. */
export const sharedPlanes: readonly Plane[] = ["edge", "upstream"];

/** Who signs a plane's leaves. */
export interface IssuerRef<P extends Plane = Plane> {
  readonly plane: P;
  readonly kind: "Issuer" | "ClusterIssuer";
  readonly name: string;
  readonly group: string;
}

/** Where a plane's public roots lie; give this to whoever must verify the plane's certificates. */
export interface TrustRef<P extends Plane = Plane> extends ConfigMapKeyRef {
  readonly plane: P;
}

/** The Secret that a leaf and its key are issued into; the key itself is never passed on. */
export interface CertSecretRef<P extends Plane = Plane> extends LeafRef {
  readonly plane: P;
}
