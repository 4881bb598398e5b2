// How the soak judges its numbers: it must be able to say that something is wrong.

import assert from "node:assert/strict";

import { nginxConfig } from "../../../components/nginxConfig.ts";
import { phases, rootsIn } from "../../soak/forms.ts";
import { withFixedPaths } from "../../soak/handshakes.ts";
import { judgeEnd } from "../../soak/keptAlive.ts";
import { render, verdictsOf } from "../../soak/report.ts";
import { hops } from "../../soak/scene.ts";
import type { PlatformResult, SoakResult } from "../../soak/soak.ts";
import { spreadOf, Tally } from "../../soak/tally.ts";

const spread = { count: 1, median: 0.1, p95: 0.2, max: 0.3 };
const fine = { done: 10, failed: 0, reasons: {}, first: [] };
const platform: PlatformResult = {
  name: "cluster roots, 1 etcd member",
  form: { root: "cluster", members: 1, gateways: [1] },
  kubeletSync: 1,
  arrivals: { ...fine, seconds: 10, perSecond: 100, late: spread, answered: spread },
  kept: { ...fine, opened: 50, ends: { bound: 3, left: 0, early: 0 } },
  writes: { ...fine, retries: 1, took: spread },
  rounds: [{ renewals: hops.map((hop) => ({ hop, seconds: 0.5 })), unissued: [] }],
  unsettled: [],
  passages: [
    {
      name: "1 gateway pod",
      phases: phases.map((phase) => ({ phase, outcome: { seconds: 20 }, stale: [], verified: { seconds: 9 } })),
      withdrawn: { lastAnswer: -2, open: 0, said: { "certificate of the old root, etcd": "alert unknown_ca (48)" } },
    },
  ],
  steady: { seconds: 600, rounds: [], commands: { preview: { runs: 20, problems: [] } } },
  renewers: [{ workingSet: 60, cpu: 0.002 }],
};
const good: SoakResult = {
  ...{ form: "short", began: "2026-11-26T00:00:00.000Z", minutes: 3, platforms: [platform] },
  handshakes: { live: [900], fixed: [1000], ratio: 0.9 },
};

/** Which verdicts change with a change to the good result, and what they say. */
function wrongWith(change: Partial<PlatformResult>): string[] {
  const result = { ...good, platforms: [{ ...platform, ...change }] };
  return verdictsOf(result)
    .filter(({ ok }) => !ok)
    .map(({ what, seen, why }) => [what, seen, ...why].join(" | "));
}

describe("the soak's judgement", () => {
  it("finds nothing wrong if everything holds", () => {
    assert.deepEqual(wrongWith({}), []);
    assert.match(render(good), /^17 of 17 right; short form, 3\.0 minutes, kubelet's sync 1 s$/m);
  });

  it("finds failed requests, and the step in which they failed", () => {
    const failed = {
      failed: 2,
      reasons: { "answer 502": 2 },
      first: [{ at: 0, reason: "answer 502", step: "retire" }],
    };
    const why = '2 times: answer 502 | in "retire": answer 502';
    assert.deepEqual(
      wrongWith({
        arrivals: { ...platform.arrivals, ...failed },
        kept: { ...platform.kept, ...failed },
        writes: { ...platform.writes, ...failed },
      }),
      [
        `new connections through the gateway | 10 done, 2 failed; 100.0/s started, up to 300 ms late; p95 200 ms | ${why}`,
        `kept-alive connections through the gateway | 10 done, 2 failed; 50 opened, ended: 3 by the bound, 0 with their pod, 0 early | ${why}`,
        `writes through the Admin API, each read back | 10 done, 2 failed; 1 retries, slowest 300 ms | ${why}`,
      ],
    );
  });

  it("finds a write that takes too long with one etcd member, but not with three", () => {
    const writes = { ...platform.writes, took: { ...spread, max: 15.1 } };
    assert.deepEqual(wrongWith({ writes }), [
      "writes through the Admin API, each read back | 10 done, 0 failed; 1 retries, slowest 15.1 s",
    ]);
    assert.deepEqual(wrongWith({ writes, form: { ...platform.form, members: 3 } }), []);
  });

  it("finds leaves that are served late or never, or are not issued", () => {
    const renewals = hops.map((hop) => ({ hop, ...(hop === "upstream" ? {} : { seconds: 3.2 }) }));
    assert.deepEqual(wrongWith({ rounds: [{ renewals, unissued: ["mtls/gateway"] }] }), [
      "leaves reissued, 1 times each | 1 not issued | mtls/gateway",
      "from Secret to served, gateway | 1 of 1 served: median 3.2 s, p95 3.2 s, max 3.2 s",
      "from Secret to served, upstream | 0 of 1 served",
    ]);
  });

  it("finds a process that did not survive the renewals, and a renewer that uses too much", () => {
    assert.deepEqual(
      wrongWith({ unsettled: ["after: apisix/apisix: 1 restarts"], renewers: [{ workingSet: 97, cpu: 0.02 }] }),
      [
        "processes and restart counts through the leaves' renewals | 1 changed | after: apisix/apisix: 1 restarts",
        "renewer while nothing is renewed | working set 97 MiB, 2.00 % of a CPU",
      ],
    );
  });

  it("finds a rotation that stops, trust that lingers, and daily use that shows changes", () => {
    const [passage] = platform.passages;
    const [prepare] = passage!.phases;
    const stopped = { ...prepare!, outcome: { seconds: 1, problem: "exited with 255: no" }, stale: ["etcd etcd-0"] };
    const open = { lastAnswer: 125, open: 1, said: { "certificate of the old root, etcd": "200" } };
    assert.deepEqual(
      wrongWith({
        passages: [
          { name: "a", phases: [stopped] },
          { ...passage!, name: "b", withdrawn: open },
        ],
        steady: { ...platform.steady!, commands: { preview: { runs: 20, problems: ["turn 3: exited with 1"] } } },
      }),
      [
        "rotation of the roots, a | prepare 1.0 s | prepare: pulumi up exited with 255: no | prepare: etcd etcd-0 does not serve its Secret's leaf",
        "connections under the old roots, b | last answer 125.0 s after the retirement, 1 open",
        "certificates and sessions of the old roots, b | 0 of 1 refused | certificate of the old root, etcd: 200",
        "preview while every leaf renews, in 10 minutes | 19 of 20 right | turn 3: exited with 1",
      ],
    );
  });

  it("accepts a connection that ends by its bound or with its pod, and no other end", () => {
    const bound = { age: 60, idle: 60 };
    const ends = [
      { age: 60, idle: 60, asked: false },
      { age: 61, idle: 5, asked: true },
      { age: 61, idle: 5, asked: false },
      { age: 20, idle: 5, asked: true },
    ];
    assert.deepEqual(
      ends.map((end) => [judgeEnd(end, bound, false), judgeEnd(end, bound, true)]),
      [
        ["bound", "bound"],
        ["bound", "bound"],
        ["early", "left"],
        ["early", "left"],
      ],
    );
  });

  it("counts by reason, and ranks by nearest rank", () => {
    const tally = new Tally();
    tally.done();
    for (const reason of ["a", "b", "b"]) tally.failed(reason);
    const { first, ...counts } = tally.numbers;
    assert.deepEqual(counts, { done: 1, failed: 3, reasons: { b: 2, a: 1 } });
    assert.deepEqual(
      first.map(({ reason }) => reason),
      ["a", "b", "b"],
    );
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    assert.deepEqual(spreadOf(hundred), { count: 100, median: 50, p95: 95, max: 100 });
    assert.deepEqual(spreadOf([]), { count: 0, median: 0, p95: 0, max: 0 });
  });

  it("rotates a root from one generation to the next", () => {
    assert.deepEqual(
      phases.map((phase) => rootsIn(phase, "stateHeld", "2026")),
      [
        { kind: "stateHeld", active: "2026", trusted: ["2026", "2027"] },
        { kind: "stateHeld", active: "2027", trusted: ["2026", "2027"] },
        { kind: "stateHeld", active: "2027", trusted: ["2027"] },
      ],
    );
  });

  it("compares nginx with a configuration whose leaf has a fixed path", () => {
    const fixed = withFixedPaths(nginxConfig([], "nginx:1.22"));
    assert.deepEqual(fixed.match(/ssl_certificate(_key)? .*/g), [
      "ssl_certificate /tls/tls.crt;",
      "ssl_certificate_key /tls/tls.key;",
    ]);
  });
});
