// Whether etcd has the members that it should have, and each of them is healthy.

import type { StoreCall } from "./storeSession.ts";

/** A member as the others know it. */
export interface Member {
  readonly id: string;
  /** Empty until it has started. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** It follows without a vote. */
  readonly learner: boolean;
}

/** What a member reports about itself. */
export interface MemberStatus {
  readonly id: string;
  /** Id of the leader that it follows; undefined if it sees none. */
  readonly leader: string | undefined;
  /** It follows without a vote, and takes no calls but this one. */
  readonly learner: boolean;
  /** Bytes of its database. */
  readonly size: number;
  readonly version: string;
  /** Its alarms, such as a full database. */
  readonly errors: readonly string[];
}

/** Everything observed of an etcd. */
export interface SeenMembers {
  readonly members: readonly Member[];
  /** By the name of each member that was asked: its status, or why it gave none. */
  readonly said: Readonly<Record<string, MemberStatus | Error>>;
}

/** Milliseconds for one member to answer: one that hangs must not hold up the report on the others. */
const patience = 3_000;

/** The members as any of them lists them. */
export async function listMembers(call: StoreCall, options: Parameters<StoreCall>[2]): Promise<readonly Member[]> {
  const { members } = await call<{ members: readonly RawMember[] }>("cluster/member/list", {}, options);
  // The gateway leaves out what has its default value.
  return members.map(({ ID, name = "", peerURLs = [], isLearner = false }) => ({
    ...{ id: ID, name, peerUrls: peerURLs, learner: isLearner },
  }));
}

/** What one member reports about itself. */
export async function statusOf(call: StoreCall, member: string, signal: AbortSignal): Promise<MemberStatus> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(patience)]);
  const raw = await call<RawStatus>("maintenance/status", {}, { member, signal: limited });
  const { header, leader = "0", dbSize = "0", isLearner = false, version, errors = [] } = raw;
  return {
    ...{ id: header.member_id, leader: leader === "0" ? undefined : leader, learner: isLearner },
    ...{ size: Number(dbSize), version, errors },
  };
}

/** The members as one of them lists them (by default any that is ready), and the status of each of these names. */
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

/** What is wrong with each member; empty if exactly the expected members exist and are healthy. */
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
