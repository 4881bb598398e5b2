// The next step towards a number of members, derived from the live state, so that a killed run can be resumed.

import type { Member } from "../verify/members.ts";

/** The current state of an etcd and its StatefulSet. */
export interface MembersState {
  readonly members: readonly Member[];
  /** Replicas of the StatefulSet. */
  readonly replicas: number;
}

/** A member's name by its ordinal, and its address for the others: those of the StatefulSet's pods. */
export interface Naming {
  name(ordinal: number): string;
  peerUrl(name: string): string;
}

export type Step =
  /** A member that an earlier run added, but did not promote. */
  | { readonly step: "finish"; readonly member: Member }
  /** The StatefulSet has pods that are not members, or too few for the members. */
  | { readonly step: "fit"; readonly replicas: number }
  | { readonly step: "leave"; readonly ordinal: number; readonly member: Member }
  | { readonly step: "join"; readonly ordinal: number };

/** The next step towards members 0 to `wanted` - 1; undefined if they are in place. */
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
 * The ordinal of a member's pod, by its peer URL: a member has no name before it has started.
 * @throws if it is not a pod of the platform.
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

/** More than there can ever be. */
const mostOrdinals = 16;
