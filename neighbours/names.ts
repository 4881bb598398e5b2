// The names of a platform's objects that others may be using already.

import { sharedPlanes } from "@mtls-everywhere/vocabulary/planes";

import { issuerName } from "../components/issuerPlace.ts";
import type { ObjectName } from "./live.ts";

/** Names of the platform's workloads, as index.ts gives them. */
const workloads = [
  ["Deployment", "apisix"],
  ["Deployment", "upstream"],
  ["StatefulSet", "etcd"],
  ["Service", "apisix"],
  ["Service", "etcd"],
  ["Service", "etcd-peers"],
  ["Service", "upstream"],
] as const;

/** The generations of roots that name issuers. */
export interface Roots {
  readonly kind: "cluster" | "stateHeld";
  readonly trusted: readonly string[];
}

/** Its workloads, and its cluster-wide issuers. */
export function objectNames(namespace: string, { kind, trusted }: Roots, founder: string): readonly ObjectName[] {
  const issuers = sharedPlanes.flatMap((plane) =>
    trusted.map((name) => issuerName(namespace, plane, { name, founder: name === founder }).name),
  );
  return [
    ...workloads.map(([kind, name]) => ({ kind, namespace, name })),
    ...issuers
      .flatMap((name) => (kind === "cluster" ? [name, `${name}-self-signed`] : [name]))
      .map((name) => ({ kind: "ClusterIssuer" as const, name })),
  ];
}

/** An object's name in messages. */
export function nameOf({ kind, namespace, name }: ObjectName): string {
  return `${kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
}
