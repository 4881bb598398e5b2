// Members that are added, removed and replaced (case 8), with real etcd processes in place of a StatefulSet's pods.

import { deepStrictEqual as same, equal, ok, rejects } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { type Change, replace, scale } from "../../../tools/etcd/change.ts";
import { listMembers, memberFaults, seeMembers } from "../../../tools/verify/members.ts";
import { EtcdMembers, eventually } from "../../support/etcdMembers.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("etcd's members (case 8)", function () {
  this.timeout(180_000);
  const { signal } = new AbortController();
  let etcd: EtcdMembers;
  let change: Change;
  let steps: string[] = [];

  const names = (count: number) => Array.from({ length: count }, (_, ordinal) => `etcd-${ordinal}`);
  const faults = async (count: number) =>
    memberFaults(await seeMembers(change.call, names(count), signal, "etcd-0"), names(count));
  const isWell = async (count: number) => {
    same(await faults(count), []);
    same(etcd.volumes, names(count));
    same(etcd.startsBy, { members: names(count), state: "new" });
    equal(await etcd.replicas(), count);
  };
  /** Keeps writing until it is ended; returns the keys whose writes etcd has acknowledged. */
  const writing = () => {
    let ended = false;
    let failures = 0;
    const acknowledged: string[] = [];
    const loop = (async () => {
      const { call } = await etcd.session("apisix");
      for (let count = 0; !ended; count += 1) {
        const key = base64(`/apisix/written/${count}`);
        // Like APISIX: another member when one fails.
        const options = { member: `etcd-${failures % 3}`, signal: AbortSignal.timeout(5_000) };
        await call("kv/put", { key, value: key }, options).then(
          () => acknowledged.push(key),
          () => (failures += 1),
        );
        await sleep(10);
      }
    })();
    return async () => {
      ended = true;
      await loop;
      return acknowledged;
    };
  };
  const lost = async (keys: readonly string[]) => {
    const { call } = await etcd.session("apisix");
    const range = { key: base64("/apisix/written/"), range_end: base64("/apisix/written0"), keys_only: true };
    const answer = await call<{ kvs?: { key: string }[] }>("kv/range", range, { member: "etcd-0", signal });
    const found = new Set(answer.kvs?.map(({ key }) => key));
    return keys.filter((key) => !found.has(key));
  };

  before(async function () {
    etcd = await EtcdMembers.start(() => this.skip());
    const { call } = await etcd.session();
    change = {
      call,
      pods: etcd,
      signal,
      onStep: (line) => steps.push(line),
      limits: { answer: 5_000, change: 60_000 },
    };
  });
  beforeEach(() => {
    steps = [];
    etcd.beforeChange = () => {};
  });
  after(() => etcd?.stop());

  it("refuse to have the only one replaced", async () => {
    await rejects(replace(change, "etcd-0"), {
      message:
        "etcd-0 cannot be replaced: 0 of the other members are healthy, and 1 must be. Nothing was changed. docs/etcd.md says what to do when too many are lost.",
    });
    await rejects(replace(change, "etcd-1"), {
      message: "There is no member etcd-1. The members are etcd-0 to etcd-0.",
    });
    same(steps, []);
  });

  it("grow from one to three under writes, and lose none", async () => {
    const end = writing();
    await scale(change, 3);
    const keys = await end();
    ok(keys.length > 10, `only ${keys.length} writes`);
    same(await lost(keys), []);
    same(steps, ["adding etcd-1", "adding etcd-2", "waiting until all members are healthy"]);
    await isWell(3);
  });

  it("stay as they are if there are already that many", async () => {
    await scale(change, 3);
    same(steps, ["waiting until all members are healthy"]);
  });

  it("are replaced when their volume is lost, whoever leads", async () => {
    for (const name of ["etcd-1", "etcd-0"]) {
      await etcd.lose(name);
      await eventually(`${name} is missed`, async () =>
        memberFaults(await seeMembers(change.call, names(3), signal, "etcd-2"), names(3)).some((fault) =>
          fault.startsWith(name),
        ),
      );
      if (name === "etcd-1") {
        await rejects(scale(change, 5), {
          message:
            "etcd-1 does not answer, and members are added or removed only while all of them are healthy. Nothing was changed. If its volume is lost: node tools/etcd/cli.ts replace etcd-1",
        });
      }
      const end = writing();
      await replace(change, name);
      same(await lost(await end()), []);
      await isWell(3);
    }
  });

  it("resume after a run that was killed anywhere, up and down", async () => {
    const runs: [number, RegExp][] = [
      [5, /^start by .*etcd-3 existing/],
      [5, /^scale 4/],
      [5, /^scale 5/],
      [5, /^start by .* new/],
      [1, /^scale 4/],
      [1, /^forget etcd-4/],
      [1, /^scale 1/],
    ];
    const end = writing();
    for (const [wanted, at] of runs) {
      etcd.beforeChange = (step) => {
        if (at.test(step)) throw new Error(`killed before: ${step}`);
      };
      await rejects(scale(change, wanted), /^Error: killed before/, `${wanted}, at ${at.source}`);
    }
    etcd.beforeChange = () => {};
    await scale(change, 1);
    same(await lost(await end()), []);
    await isWell(1);
    equal((await listMembers(change.call, { member: "etcd-0", signal })).length, 1);
  });
});
