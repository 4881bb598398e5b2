// Whether etcd has the members that it should have, and each of them is well.

import type { StoreCall } from "./storeSession.ts";

/** A member as the others know it. */
export interface Member {
  readonly id: string;
  /** Empty until it has started. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** It follows, and has no vote yet. */
  readonly learner: boolean;
}

/** What a member says of itself. */
export interface MemberStatus {
  readonly id: string;
  /** Id of the leader that it follows; undefined when it sees none. */
  readonly leader: string | undefined;
  /** It follows, and has no vote yet: it takes no other calls. */
  readonly learner: boolean;
  /** Bytes of its database. */
  readonly size: number;
  readonly version: string;
  /** What it complains of, such as a full database. */
  readonly errors: readonly string[];
}

/** All that was seen of an etcd. */
export interface SeenMembers {
  readonly members: readonly Member[];
  /** By name, of each that was asked: what it says, or why it said nothing. */
  readonly said: Readonly<Record<string, MemberStatus | Error>>;
}

/** Milliseconds for one member to answer: one that hangs must not keep the others from being told. */
const patience = 3_000;

/** The members as any of them lists them. */
export async function listMembers(call: StoreCall, options: Parameters<StoreCall>[2]): Promise<readonly Member[]> {
  const { members } = await call<{ members: readonly RawMember[] }>("cluster/member/list", {}, options);
  // The gateway leaves out what has its default value.
  return members.map(({ ID, name = "", peerURLs = [], isLearner = false }) => ({
    ...{ id: ID, name, peerUrls: peerURLs, learner: isLearner },
  }));
}

/** What one member says of itself. */
export async function statusOf(call: StoreCall, member: string, signal: AbortSignal): Promise<MemberStatus> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(patience)]);
  const raw = await call<RawStatus>("maintenance/status", {}, { member, signal: limited });
  const { header, leader = "0", dbSize = "0", isLearner = false, version, errors = [] } = raw;
  return {
    ...{ id: header.member_id, leader: leader === "0" ? undefined : leader, learner: isLearner },
    ...{ size: Number(dbSize), version, errors },
  };
}

/** The members as one of them lists them, any that is ready unless it is named, and as each of these answers. */
export async function seeMembers(
  call: StoreCall,
  names: readonly string[],
  signal: AbortSignal,
  via?: string,
): Promise<SeenMembers> {
  const members = await listMembers(call, { member: via, signal });
  const said = await Promise.all(
    names.map(async (name) => [name, await statusOf(call, name, signal).catch((error: Error) => error)] as const),
  );
  signal.throwIfAborted();
  return { members, said: Object.fromEntries(said) };
}

/** What is wrong with the members, one by one; nothing when these names are all there is and are well. */
export function memberFaults({ members, said }: SeenMembers, expected: readonly string[]): string[] {
  const own = expected.flatMap((name) => {
    const member = members.find((one) => one.name === name);
    if (member === undefined) return [`${name} is missing`];
    const status = said[name];
    if (status === undefined || status instanceof Error) return [`${name} does not answer`];
    if (status.id !== member.id) return [`${name} is not the member that the others know`];
    return [
      ...(member.learner ? [`${name} has not caught up yet`] : []),
      ...(status.leader === undefined ? [`${name} sees no leader`] : []),
      ...status.errors.map((error) => `${name}: ${error}`),
    ];
  });
  const others = members.filter(({ name }) => !expected.includes(name));
  return [
    ...own,
    ...others.map(({ name }) => (name === "" ? "one was added but never started" : `${name} should not be a member`)),
  ];
}

interface RawMember {
  readonly ID: string;
  readonly name?: string;
  readonly peerURLs?: readonly string[];
  readonly isLearner?: boolean;
}

interface RawStatus {
  readonly header: { readonly member_id: string };
  readonly version: string;
  readonly leader?: string;
  readonly dbSize?: string;
  readonly isLearner?: boolean;
  readonly errors?: readonly string[];
}
