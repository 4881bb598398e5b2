// What comes next on the way to a number of members: found from what is live, so that a killed run goes on where it was.

import type { Member } from "../verify/members.ts";

/** An etcd and its StatefulSet, as they stand. */
export interface MembersState {
  readonly members: readonly Member[];
  /** Pods that the StatefulSet has. */
  readonly replicas: number;
}

/** How a member is called by its ordinal, and known to the others: what a StatefulSet's pods are. */
export interface Naming {
  name(ordinal: number): string;
  peerUrl(name: string): string;
}

export type Step =
  /** A member that an earlier run has added and not made a full one. */
  | { readonly step: "finish"; readonly member: Member }
  /** The StatefulSet has pods that are no members, or lacks some that are. */
  | { readonly step: "fit"; readonly replicas: number }
  | { readonly step: "leave"; readonly ordinal: number; readonly member: Member }
  | { readonly step: "join"; readonly ordinal: number };

/** The next step to members 0 up to `wanted`; undefined when they are there. */
export function nextStep(state: MembersState, wanted: number, naming: Naming): Step | undefined {
  const learner = state.members.find(({ learner }) => learner);
  if (learner) return { step: "finish", member: learner };
  const voters = new Map(state.members.map((member) => [ordinalOf(member, naming), member]));
  const last = Math.max(...voters.keys());
  if (state.replicas !== last + 1) return { step: "fit", replicas: last + 1 };
  if (last >= wanted) return { step: "leave", ordinal: last, member: voters.get(last)! };
  for (let ordinal = 0; ordinal < wanted; ordinal += 1) {
    if (!voters.has(ordinal)) return { step: "join", ordinal };
  }
  return undefined;
}

/**
 * Which pod a member is, by where its peers reach it: it has no name before it has started.
 * @throws when it is none of the platform's.
 */
export function ordinalOf({ id, peerUrls }: Pick<Member, "id" | "peerUrls">, naming: Naming): number {
  for (let ordinal = 0; ordinal < mostOrdinals; ordinal += 1) {
    if (peerUrls.includes(naming.peerUrl(naming.name(ordinal)))) return ordinal;
  }
  throw new Error(
    `etcd has a member that is not a pod of this platform: ${id} at ${peerUrls.join(", ")}. ` +
      `Find out who added it; to remove it: etcdctl member remove ${id}`,
  );
}

/** More than there ever are. */
const mostOrdinals = 16;
