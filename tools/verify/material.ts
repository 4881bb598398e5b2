// The keys, certificates and roots that the checks use, read from the cluster or signed for this run.

import { type Access, certificatesOf, type KeyPair } from "@mtls-everywhere/cluster-access";
import { publicRoots } from "@mtls-everywhere/cluster-access/publicRoots";
import { type Plane, planes } from "@mtls-everywhere/vocabulary/planes";

import type { PlatformOutputs } from "../../outputs.ts";
import type { Leaves } from "./leaves.ts";

/** Kept in memory only, for one run. */
export interface Material {
  readonly roots: { readonly [P in Plane]: string };
  /** Those that the gateway's own certificate chains to. */
  readonly gatewayRoots: string;
  /** Made for this run. */
  readonly leaves: Leaves;
  /** Of a client that the platform's own host names; undefined if it names none, or this stack has issued none. */
  readonly client: KeyPair | undefined;
  /** The platform's own client leaves. */
  readonly own: { readonly admin: KeyPair; readonly etcd: KeyPair; readonly upstream: KeyPair };
  readonly adminKey: string;
  readonly storePassword: string;
  /** Milliseconds since 1970 by the cluster's clock, which may differ from this machine's. */
  now(): number;
}

export async function gather(
  { gateway, trust, admin, store, upstream, clients }: PlatformOutputs,
  access: Access,
  leaves: Leaves,
): Promise<Material> {
  // What must expire first is asked for first, and what its own client presents before what is only refused.
  for (const plane of planes) void leaves.of("expired", plane);
  const edge = leaves.of("client", "edge").then(clockOf);
  for (const plane of ["upstream", "etcd-peer"] as const) void leaves.of("client", plane);
  for (const plane of planes) void leaves.of("server", plane);

  const [named] = clients?.certificates ?? [];
  const [now, client, adminClient, adminKey, apisixStore, storePassword, apisixUpstream, ...bundles] =
    await Promise.all([
      edge,
      named && access.keyPair(named),
      access.keyPair(admin.certificate),
      access.secretValue(admin.key),
      access.keyPair(store.certificate),
      access.secretValue(store.password),
      access.keyPair(upstream.clientCertificate),
      ...planes.map((plane) => access.trustBundle(trust[plane])),
    ]);
  const roots = Object.fromEntries(planes.map((plane, i) => [plane, bundles[i]])) as Material["roots"];
  const own = { admin: adminClient, etcd: apisixStore, upstream: apisixUpstream };
  const gatewayRoots = rootsBehind(gateway.roots) ?? roots.edge;
  return { roots, gatewayRoots, leaves, client, own, adminKey, storePassword, now };
}

/** What the output `gateway.roots` stands for; nothing where it says nothing. */
function rootsBehind(roots: string | undefined): string | undefined {
  return roots === "public" ? publicRoots() : roots;
}

/** A client leaf of the plane: the platform's own where it has one, else one that was made for this run. */
export async function clientLeaf({ own, leaves }: Material, plane: Plane): Promise<KeyPair> {
  return plane === "edge" || plane === "etcd-peer" ? leaves.of("client", plane) : own[plane];
}

/** The clock of the signer of a brand-new leaf, which dates leaves by it. */
function clockOf({ cert }: KeyPair): () => number {
  const start = Number(certificatesOf(cert)[0]!.validFromDate) - performance.now();
  return () => start + performance.now();
}
