// The next step towards a number of members, whatever an earlier run has left.

import { deepStrictEqual as same, equal, throws } from "node:assert/strict";

import fc from "fast-check";

import { type MembersState, nextStep } from "../../../tools/etcd/steps.ts";

const naming = {
  name: (ordinal: number) => `etcd-${ordinal}`,
  peerUrl: (name: string) => `https://${name}.peers:2380`,
};
const member = (ordinal: number, learner = false) => ({
  ...{ id: String(ordinal), name: `etcd-${ordinal}`, peerUrls: [`https://etcd-${ordinal}.peers:2380`], learner },
});
const state = (replicas: number, ...ordinals: number[]): MembersState => ({
  ...{ replicas, members: ordinals.map((ordinal) => member(ordinal)) },
});

describe("the next step towards a number of members (case 8)", () => {
  it("is to add one, to remove one, or none", () => {
    same(nextStep(state(1, 0), 3, naming), { step: "join", ordinal: 1 });
    same(nextStep(state(3, 0, 1, 2), 1, naming), { step: "leave", ordinal: 2, member: member(2) });
    equal(nextStep(state(3, 0, 1, 2), 3, naming), undefined);
  });

  it("completes what a killed run has left: a learner, pods that are not members, a gap", () => {
    const joining = { replicas: 2, members: [member(0), member(1, true)] };
    same(nextStep(joining, 3, naming), { step: "finish", member: member(1, true) });
    same(nextStep(state(3, 0, 1), 1, naming), { step: "fit", replicas: 2 });
    same(nextStep(state(3, 0, 2), 3, naming), { step: "join", ordinal: 1 });
  });

  it("restores members' pods that somebody scaled away", () => {
    same(nextStep(state(1, 0, 1, 2), 3, naming), { step: "fit", replicas: 3 });
  });

  it("refuses members that are not the platform's", () => {
    const foreign = { ...member(0), id: "9", peerUrls: ["https://elsewhere:2380"] };
    throws(() => nextStep({ replicas: 1, members: [member(0), foreign] }, 3, naming), {
      message:
        "etcd has a member that is not a pod of this platform: 9 at https://elsewhere:2380. Find out who added it; to remove it: etcdctl member remove 9",
    });
  });

  it("leads from anywhere to the wanted members, and never to none", () => {
    const any = fc.record({
      present: fc.subarray([1, 2, 3, 4]),
      replicas: fc.integer({ min: 1, max: 5 }),
      wanted: fc.constantFrom(1, 3, 5),
      learns: fc.boolean(),
    });
    fc.assert(
      fc.property(any, ({ present, replicas, wanted, learns }) => {
        let members = [0, ...present].map((ordinal) => member(ordinal, learns && ordinal === present.at(-1)));
        let pods = replicas;
        for (let count = 0; count < 20; count += 1) {
          const step = nextStep({ members, replicas: pods }, wanted, naming);
          if (step === undefined) break;
          if (step.step === "finish") members = members.filter(({ id }) => id !== step.member.id);
          if (step.step === "leave") members = members.filter(({ id }) => id !== step.member.id);
          if (step.step === "join") {
            members = [...members, member(step.ordinal)];
            pods = Math.max(pods, step.ordinal + 1);
          }
          if (step.step === "fit") pods = step.replicas;
          equal(members.length > 0, true);
        }
        same(
          members.map(({ name }) => name).sort(),
          Array.from({ length: wanted }, (_, ordinal) => `etcd-${ordinal}`),
        );
        equal(pods, wanted);
      }),
    );
  });
});
