// Who trusts whom, per plane: from the stack's outputs, what the servers serve and what the checks found.

import { certificatesOf, digestOf } from "@mtls-everywhere/cluster-access";
import type { Plane } from "@mtls-everywhere/vocabulary/planes";

import type { PlatformOutputs } from "../../../outputs.ts";
import type { Hop } from "../check.ts";
import type { Report } from "../run.ts";
import { commonName } from "../served.ts";
import { type Tally, tally } from "./findings.ts";

export interface PlaneTrust {
  readonly plane: Plane;
  readonly client: string;
  readonly server: string;
  /** The issuer that signs this stack's leaves, by kind and name. */
  readonly issuer: string;
  /** What both ends trust. */
  readonly roots: readonly Root[];
  readonly served: ServedLeaves;
  /** Of the plane's checks. */
  readonly found: Tally;
}

export interface Root {
  /** Its generation, or its own name where the outputs name none. */
  readonly name: string;
  /** Whether this stack's leaves come from its generation. */
  readonly signs: boolean;
  readonly end: Date;
}

/** The leaf that a plane's server serves, over all its pods. */
export interface ServedLeaves {
  readonly pods: number;
  /** Who signed them: generations, or roots where the outputs name none. */
  readonly signers: string;
  /** The earliest end; absent if nothing is served. */
  readonly end?: Date;
}

/** In the order of a request's path: traffic, control, store. */
export type Trust = Readonly<Record<Plane, PlaneTrust>>;

export function trustOf({ checks, served }: Report, outputs: PlatformOutputs): Trust {
  const of = (plane: Plane, client: string, server: string, ...hops: readonly Hop[]): PlaneTrust => {
    const leaves = served.filter(({ hop, host, serial }) => hops.includes(hop) && host === undefined && serial !== "");
    const ends = leaves.map(({ notAfter }) => Date.parse(notAfter));
    const { kind, name } = outputs.issuers[plane];
    return {
      ...{ plane, client, server, issuer: `${kind} ${name}`, roots: rootsOf(plane, outputs) },
      served: {
        pods: leaves.length,
        signers: [...new Set(leaves.map(({ root, generation }) => named(generation, root)))].join(" and "),
        ...(ends.length === 0 ? {} : { end: new Date(Math.min(...ends)) }),
      },
      found: tally(checks.filter(({ hop }) => hops.includes(hop)).map(({ verdict }) => verdict)),
    };
  };
  return {
    edge: of("edge", "clients", "gateway", "gateway"),
    upstream: of("upstream", "gateway", "upstream", "upstream", "gateway to upstream"),
    admin: of("admin", "pulumi up", "Admin API", "Admin API"),
    etcd: of("etcd", "gateway", "etcd", "etcd"),
    "etcd-peer": of("etcd-peer", "etcd members", "etcd members", "etcd peers"),
  };
}

function named(generation: string | undefined, root: string): string {
  return generation === undefined ? root : `generation ${generation}`;
}

/** The clients that the platform's own host admits. */
export function admitted({ clients }: PlatformOutputs): string {
  const allowed = clients?.allowed ?? "every client";
  if (allowed === "every client") return allowed;
  return allowed.map(({ namespace, serviceAccount }) => `${namespace}/${serviceAccount}`).join(", ") || "nobody";
}

function rootsOf(plane: Plane, { roots, generations }: PlatformOutputs): Root[] {
  const digests = Object.entries(generations?.digests[plane] ?? {});
  return certificatesOf(roots[plane]).map((root) => {
    const digest = digestOf(root.toString());
    const [generation] = digests.find(([, own]) => own.includes(digest)) ?? [];
    return {
      name: named(generation, commonName(root) ?? digest.slice(0, 8)),
      signs: generation !== undefined && generation === generations?.active,
      end: root.validToDate,
    };
  });
}
