// The keys, certificates and roots that the checks use, read from the cluster or signed for this run.

import { setTimeout as sleep } from "node:timers/promises";

import { type Access, certificatesOf, type KeyPair } from "@mtls-everywhere/cluster-access";
import { type Plane, planes } from "@mtls-everywhere/vocabulary/planes";

import type { PlatformOutputs } from "../../outputs.ts";
import { type CertificateSource, type LeafOrder, lifetimeOf } from "./certificates.ts";

/** Kept in memory only, for one run. */
export interface Material {
  readonly roots: { readonly [P in Plane]: string };
  /** Leaves of an identity that no server knows, valid for minutes. */
  readonly edge: KeyPair;
  readonly upstream: KeyPair;
  readonly etcd: KeyPair;
  /** Of a client that the platform's own host answers; undefined if this stack has issued none. */
  readonly client: KeyPair | undefined;
  /** Settles when the leaf has expired. */
  readonly expiredEdge: Promise<KeyPair>;
  /** The platform's own. */
  readonly adminClient: KeyPair;
  readonly adminKey: string;
  readonly apisixStore: KeyPair;
  readonly storePassword: string;
  readonly apisixUpstream: KeyPair;
  /** Milliseconds since 1970 by the cluster's clock, which may differ from this machine's. */
  now(): number;
}

/** Service account that the checks' leaves name; no server grants it anything. */
const caller = "verify";
/** Seconds. */
const lifetime = 15 * 60;
const shortLifetime = 5;

export async function gather(
  { trustDomain, namespace, issuers, trust, admin, store, upstream, clients }: PlatformOutputs,
  access: Access,
  certificates: CertificateSource,
  signal: AbortSignal,
): Promise<Material> {
  const identity = { trustDomain, namespace, serviceAccount: caller };
  const issue = (order: Pick<LeafOrder, "issuer"> & Partial<LeafOrder>) =>
    certificates.issue({ identity, subject: true, lifetime, ...order }, signal);

  const expiredEdge = issue({ issuer: issuers.edge, lifetime: shortLifetime }).then((leaf) => expired(leaf, signal));
  // Only the checks await it, and never get there if something else fails first.
  expiredEdge.catch(() => undefined);

  const [allowed] = clients?.certificates ?? [];
  const [
    edge,
    client,
    upstreamLeaf,
    { leaf: etcd, now },
    adminClient,
    adminKey,
    apisixStore,
    storePassword,
    apisixUpstream,
    ...bundles
  ] = await Promise.all([
    issue({ issuer: issuers.edge }),
    allowed && access.keyPair(allowed),
    issue({ issuer: issuers.upstream }),
    issue({ issuer: issuers.etcd, subject: false }).then((leaf) => ({ leaf, now: clockOf(leaf) })),
    access.keyPair(admin.certificate),
    access.secretValue(admin.key),
    access.keyPair(store.certificate),
    access.secretValue(store.password),
    access.keyPair(upstream.clientCertificate),
    ...planes.map((plane) => access.trustBundle(trust[plane])),
  ]);
  const roots = Object.fromEntries(planes.map((plane, i) => [plane, bundles[i]])) as Material["roots"];
  return {
    roots,
    edge,
    client,
    upstream: upstreamLeaf,
    etcd,
    expiredEdge,
    adminClient,
    adminKey,
    apisixStore,
    storePassword,
    apisixUpstream,
    now,
  };
}

/** The clock of the signer of a brand-new leaf, which dates leaves by it. */
function clockOf({ cert }: KeyPair): () => number {
  const start = Number(certificatesOf(cert)[0]!.validFromDate) - performance.now();
  return () => start + performance.now();
}

/** Waits for the leaf's own lifetime, not for a time on this machine's clock: the servers go by theirs. */
async function expired(leaf: KeyPair, signal: AbortSignal): Promise<KeyPair> {
  const wait = lifetimeOf(leaf) + 1_000;
  if (wait > 4 * shortLifetime * 1_000) {
    throw new Error(`the issuer signed for ${Math.round(wait / 1_000)} s, not for ${shortLifetime} s: not checked`);
  }
  await sleep(wait, undefined, { signal });
  return leaf;
}
