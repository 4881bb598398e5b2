// The leaves that are made for one run, each on first use: they speak for an identity that no server grants anything.

import { setTimeout as sleep } from "node:timers/promises";

import type { KeyPair } from "@mtls-everywhere/cluster-access";
import type { Plane } from "@mtls-everywhere/vocabulary/planes";

import type { PlatformOutputs } from "../../outputs.ts";
import { type CertificateSource, type LeafOrder, lifetimeOf } from "./certificates.ts";
import { Uncheckable } from "./unchecked.ts";

/** Service account that the leaves name. */
const caller = "verify";

/** Kinds of leaves, lifetimes in seconds. */
const kinds = {
  /** Right for a client, but for whom it speaks. */
  client: { usages: ["client auth"], lifetime: 60 },
  /** Right for a server of its name, and of the wrong usage for a client. */
  server: { usages: ["server auth"], lifetime: 60 },
  /** Right for both while it lasted. */
  expired: { usages: ["client auth", "server auth"], lifetime: 2 },
} as const satisfies Readonly<Record<string, Pick<LeafOrder, "usages" | "lifetime">>>;

export type LeafKind = keyof typeof kinds;

/** Orders and keeps them: one of a kind and plane is enough for all checks. */
export class Leaves {
  readonly #outputs: PlatformOutputs;
  readonly #certificates: CertificateSource;
  readonly #run: string;
  readonly #signal: AbortSignal;
  readonly #issued = new Map<string, { readonly leaf: Promise<KeyPair>; readonly since: number }>();

  /** `run` is the run's own name, which leaves' DNS names begin with. */
  constructor(outputs: PlatformOutputs, certificates: CertificateSource, run: string, signal: AbortSignal) {
    [this.#outputs, this.#certificates, this.#run, this.#signal] = [outputs, certificates, run, signal];
  }

  /** The leaf of this kind; an `expired` one once it has. */
  of(kind: LeafKind, plane: Plane): Promise<KeyPair> {
    const name = this.nameOf(kind, plane);
    const known = this.#issued.get(name);
    // A long run outlives its leaves: halfway through one's life, another takes its place.
    const fresh = known && (kind === "expired" || performance.now() - known.since < (kinds[kind].lifetime * 1_000) / 2);
    if (fresh) return known.leaf;
    const leaf = this.#issue(kind, plane);
    // Only the checks await it, and never get there if something else fails first.
    leaf.catch(() => undefined);
    this.#issued.set(name, { leaf, since: performance.now() });
    return leaf;
  }

  /** The DNS name of that leaf. */
  nameOf(kind: LeafKind, plane: Plane): string {
    return `${this.#run}-${plane}-${kind}.invalid`;
  }

  async #issue(kind: LeafKind, plane: Plane): Promise<KeyPair> {
    const { issuers, trustDomain, namespace } = this.#outputs;
    // etcd looks up whether a DNS name in a peer's certificate is the caller's address, and only these are shown as servers.
    const named = kind !== "client" || plane === "upstream";
    const leaf = await this.#certificates.issue(
      {
        ...kinds[kind],
        issuer: issuers[plane],
        identity: { trustDomain, namespace, serviceAccount: caller },
        subject: plane !== "etcd" && plane !== "etcd-peer",
        dnsNames: named ? [this.nameOf(kind, plane)] : [],
      },
      this.#signal,
    );
    return kind === "expired" ? expired(leaf, this.#signal) : leaf;
  }
}

/** Waits for the leaf's own lifetime, not for a time on this machine's clock: the servers go by theirs. */
async function expired(leaf: KeyPair, signal: AbortSignal): Promise<KeyPair> {
  const ordered = kinds.expired.lifetime;
  const seconds = lifetimeOf(leaf) / 1_000;
  if (seconds > 10 * ordered) {
    throw new Uncheckable(`The issuer signed for ${Math.round(seconds)} s, where ${ordered} s were asked for.`);
  }
  await sleep(lifetimeOf(leaf) + 1_000, undefined, { signal });
  return leaf;
}
