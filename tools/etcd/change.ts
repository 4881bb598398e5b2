// Changes etcd's members one at a time: each is added as a learner, catches up, and is then promoted.

import { AdminError, isTransient, until } from "@mtls-everywhere/cluster-access";

import { mostMembers } from "../../components/etcdPlan.ts";
import { listMembers, type Member, memberFaults, seeMembers, statusOf } from "../verify/members.ts";
import type { StoreCall } from "../verify/storeSession.ts";
import type { MemberPods } from "./pods.ts";
import { type MembersState, nextStep, ordinalOf, type Step } from "./steps.ts";

/** What a change needs. */
export interface Change {
  /** etcd, as its root user. */
  readonly call: StoreCall;
  readonly pods: MemberPods;
  readonly signal: AbortSignal;
  /** Called before each step. */
  readonly onStep: (line: string) => void;
  /**
   * How long to wait.
   * @default the usual limits
   */
  readonly limits?: typeof usual;
}

/** Milliseconds. */
const usual = {
  /** For an answer from members that may be restarting. */
  answer: 20_000,
  /** For etcd to accept a change, and for a member to start and catch up. */
  change: 180_000,
};

/** Scales etcd to a number of members. If it was killed, the next run resumes. */
export async function scale(change: Change, wanted: number): Promise<void> {
  const { pods, onStep } = change;
  const next = async () => nextStep(await stateOf(change), wanted, pods);
  let step = await next();
  for (let checked = false; step; step = await next()) {
    // Members whose pods were scaled away by hand come back once the StatefulSet is large enough again.
    if (!checked && !(step.step === "fit" && step.replicas > (await pods.replicas()))) {
      await refuseUnhealthy(change);
      checked = true;
    }
    onStep(sentence(step, pods));
    await take(change, step);
  }
  await settle(change, wanted);
}

/**
 * Replaces a member by one with an empty volume, which it fills from the others.
 * @throws before anything is changed, if the others are too few to continue without it.
 */
export async function replace(change: Change, name: string): Promise<void> {
  const { onStep } = change;
  const state = await stateOf(change);
  const { ordinal, member } = await replaceable(change, state, name);
  if (member) {
    onStep(`removing ${name}`);
    await remove(change, member);
  }
  onStep(`adding ${name} again, with an empty volume`);
  await join(change, ordinal);
  await settle(change, state.replicas);
}

async function take(change: Change, step: Step): Promise<void> {
  const { pods, signal } = change;
  switch (step.step) {
    case "finish":
      // One that never started may have found old data in its volume: adding it again costs nothing.
      if (step.member.name !== "" && (await promoted(change, step.member.id, 30_000))) return;
      await remove(change, step.member);
      return;
    case "fit": {
      const had = await pods.replicas();
      await pods.scale(step.replicas);
      for (let ordinal = step.replicas; ordinal < had; ordinal += 1) await pods.forget(pods.name(ordinal), signal);
      return;
    }
    case "leave":
      await remove(change, step.member);
      await pods.scale(step.ordinal);
      await pods.forget(pods.name(step.ordinal), signal);
      return;
    case "join":
      await join(change, step.ordinal);
      return;
  }
}

function sentence(step: Step, pods: MemberPods): string {
  switch (step.step) {
    case "finish":
      return `resuming: ${step.member.name || "a member that has not started"} was added but not promoted`;
    case "fit":
      return `scaling the StatefulSet to ${step.replicas}, to match the members`;
    case "leave":
      return `removing ${pods.name(step.ordinal)} and its volume`;
    case "join":
      return `adding ${pods.name(step.ordinal)}`;
  }
}

/** Adds a member without data, and promotes it once it has caught up. */
async function join(change: Change, ordinal: number): Promise<void> {
  const { call, pods, signal } = change;
  const { members, replicas } = await stateOf(change);
  const name = pods.name(ordinal);
  const ordinals = [...members.map((member) => ordinalOf(member, pods)), ordinal].sort((a, b) => a - b);
  const names = ordinals.map((one) => pods.name(one));
  await pods.startBy(names, "existing");
  // An old volume would hold the data of a member that was removed.
  if (replicas > ordinal) await pods.drop(name);
  else await pods.forget(name, signal);
  const id = await agreed(change, `${name} cannot be added`, async () => {
    const known = (await stateOf(change)).members.find(({ peerUrls }) => peerUrls.includes(pods.peerUrl(name)));
    if (known) return known.id; // the answer to an earlier call was lost
    const options = { member: await speaker(change, name), signal: limited(signal) };
    const body = { peerURLs: [pods.peerUrl(name)], isLearner: true };
    return (await call<{ member: { ID: string } }>("cluster/member/add", body, options)).member.ID;
  });
  if (replicas > ordinal) await pods.renewed(name, signal);
  else await pods.scale(ordinal + 1);
  const within = (change.limits ?? usual).change;
  if (!(await promoted(change, id, within))) {
    throw new Error(
      `${name} has not caught up within ${within / 1000} s. To see why: kubectl -n ${pods.namespace} logs ${name}. ` +
        "Then run the same command again: it resumes from here.",
    );
  }
}

/** Promotes a member as soon as it has caught up; false if that takes too long. */
async function promoted(change: Change, id: string, within: number): Promise<boolean> {
  const { call, signal } = change;
  const done = await until(
    async () => {
      const member = (await stateOf(change)).members.find((one) => one.id === id);
      if (member && !member.learner) return true;
      const via = await speaker(change, member?.name);
      await call("cluster/member/promote", { ID: id }, { member: via, signal: limited(signal) }).catch(forNow);
      return false;
    },
    { within, signal },
  );
  return done === true;
}

/** Removes a member from etcd. A leader hands over first, so that nobody has to wait for an election. */
async function remove(change: Change, { id, name, learner }: Member): Promise<void> {
  const { call, signal } = change;
  const via = await speaker(change, name);
  const seen = await statusOf(call, via, signal);
  if (seen.leader === id && !learner) {
    const body = { targetID: seen.id };
    await call("maintenance/transfer-leadership", body, { member: name, signal: limited(signal) }).catch(
      () => undefined,
    );
  }
  await agreed(change, `${name || id} cannot be removed`, async () => {
    const { members } = await stateOf(change);
    if (!members.some((one) => one.id === id)) return true;
    await call("cluster/member/remove", { ID: id }, { member: await speaker(change, name), signal: limited(signal) });
    return true;
  });
}

/** From now on, members that lose all data bootstrap a new etcd, as at first. Waits until all are healthy. */
async function settle(change: Change, count: number): Promise<void> {
  const { call, pods, signal, onStep } = change;
  const names = Array.from({ length: count }, (_, ordinal) => pods.name(ordinal));
  await pods.startBy(names, "new");
  for (let ordinal = count; ordinal < mostMembers; ordinal += 1) await pods.forget(pods.name(ordinal), signal);
  let faults: readonly string[] = [];
  onStep("waiting until all members are healthy");
  await until(
    async () => {
      faults = memberFaults(await seeMembers(call, names, signal, await speaker(change)), names);
      return faults.length === 0;
    },
    { within: 60_000, signal },
  );
  if (faults.length > 0) throw new Error(`The members are in place, but not healthy: ${faults.join("; ")}.`);
}

/** The current members and replicas. */
async function stateOf(change: Change): Promise<MembersState> {
  const { call, pods, signal } = change;
  const via = await speaker(change);
  const [members, replicas] = await Promise.all([
    listMembers(call, { member: via, signal: limited(signal) }),
    pods.replicas(),
  ]);
  return { members, replicas };
}

/** A voting member that answers, other than the excepted one: learners take no calls. */
async function speaker({ call, pods, signal, limits = usual }: Change, except?: string): Promise<string> {
  const last = await pods.replicas();
  const found = await until(
    async () => {
      for (let ordinal = 0; ordinal < last; ordinal += 1) {
        const name = pods.name(ordinal);
        if (name === except) continue;
        const status = await statusOf(call, name, signal).catch(() => undefined);
        if (status && !status.learner && status.leader !== undefined) return name;
      }
      return undefined;
    },
    { within: limits.answer, pause: 1_000, signal },
  );
  if (found !== undefined) return found;
  throw new Error(
    "No etcd member answers and has a leader. Without a majority, etcd cannot be changed: docs/etcd.md says how to restore a snapshot.",
  );
}

/** The ordinal of the member to be replaced, and the member if etcd still has it. */
async function replaceable(change: Change, { members, replicas }: MembersState, name: string) {
  const { pods } = change;
  const ordinal = Array.from({ length: replicas }, (_, index) => pods.name(index)).indexOf(name);
  if (ordinal < 0) {
    throw new Error(`There is no member ${name}. The members are ${pods.name(0)} to ${pods.name(replicas - 1)}.`);
  }
  const member = members.find((one) => ordinalOf(one, pods) === ordinal);
  const others = members.filter((one) => one !== member && !one.learner);
  const healthy = await answering(change, others);
  const needed = Math.floor((others.length + (member && !member.learner ? 1 : 0)) / 2) + 1;
  if (healthy.length >= needed && others.length > 0) return { ordinal, member };
  throw new Error(
    `${name} cannot be replaced: ${healthy.length} of the other members ${healthy.length === 1 ? "is" : "are"} healthy, and ${Math.max(needed, 1)} must be. ` +
      "Nothing was changed. docs/etcd.md says what to do when too many are lost.",
  );
}

/** Refuses to start while a member is down: any change then could cost the majority. */
async function refuseUnhealthy(change: Change): Promise<void> {
  const { pods, signal, limits = usual } = change;
  const voters = (await stateOf(change)).members.filter(({ learner }) => !learner);
  let away: readonly Member[] = [];
  await until(
    async () => {
      const healthy = await answering(change, voters);
      away = voters.filter((member) => !healthy.includes(member));
      return away.length === 0;
    },
    { within: limits.answer, pause: 1_000, signal },
  );
  const [first] = away;
  if (first === undefined) return;
  const name = pods.name(ordinalOf(first, pods));
  throw new Error(
    `${name} does not answer, and members are added or removed only while all of them are healthy. Nothing was changed. ` +
      `If its volume is lost: node tools/etcd/cli.ts replace ${name}`,
  );
}

async function answering({ call, pods, signal }: Change, members: readonly Member[]): Promise<readonly Member[]> {
  const answers = await Promise.all(
    members.map(async (member) => {
      const name = pods.name(ordinalOf(member, pods));
      const status = await statusOf(call, name, signal).catch(() => undefined);
      return status?.id === member.id && status.leader !== undefined ? [member] : [];
    }),
  );
  return answers.flat();
}

/** Repeats a change until etcd accepts it: for some seconds after another change, it refuses. */
async function agreed<T>({ signal, limits = usual }: Change, what: string, ask: () => Promise<T>): Promise<T> {
  let last: Error | undefined;
  const answer = await until(
    async () => {
      try {
        return await ask();
      } catch (error) {
        last = forNow(error);
        return undefined;
      }
    },
    { within: limits.change, pause: 1_000, signal },
  );
  if (answer !== undefined) return answer;
  throw new Error(`${what}: ${last?.message ?? "no answer."} Run the same command again: it resumes from here.`);
}

/** "member not found" is its answer for a member removed within the same second: the new one would get the same id. */
const refusedForNow = /unhealthy|not enough started|in sync|leader|timed out|member not found/;

/** A failure worth retrying; anything else is rethrown. */
function forNow(error: unknown): Error {
  if (isTransient(error)) return error as Error;
  if (error instanceof AdminError && refusedForNow.test(error.said)) return error;
  throw error;
}

/** Limits one attempt: it takes no longer than etcd's own limit. */
function limited(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(15_000)]);
}
