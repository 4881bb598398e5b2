// What the status says about etcd's members, and what to do next; and invalid command lines.

import { deepStrictEqual as same, equal } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";

import { render, statusOfStore } from "../../../tools/etcd/report.ts";
import type { MemberStatus } from "../../../tools/verify/members.ts";

const member = (ordinal: number) => ({ id: `${ordinal}`, name: `etcd-${ordinal}`, peerUrls: [], learner: false });
const status = (ordinal: number, more: Partial<MemberStatus> = {}): MemberStatus => ({
  ...{ id: `${ordinal}`, leader: "0", learner: false, size: 20 * 2 ** 20, version: "3.6.15", errors: [], ...more },
});
const three = ["etcd-0", "etcd-1", "etcd-2"];

describe("the status of etcd (case 8)", () => {
  it("is a line for each member", () => {
    const seen = { members: [member(0), member(1)], said: { "etcd-0": status(0), "etcd-1": status(1) } };
    const both = ["etcd-0", "etcd-1"];
    equal(
      render(statusOfStore(seen, { pods: both, outputs: both, stack: "dev" })),
      `Member  Role      Database  Version
etcd-0  leader    20.0 MiB  3.6.15
etcd-1  follower  20.0 MiB  3.6.15

2 members, all healthy
`,
    );
  });

  it("says what is missing, and what to do about it", () => {
    const seen = {
      members: [member(0), member(1), { ...member(7), name: "" }],
      said: { "etcd-0": status(0, { errors: ["alarm:NOSPACE"] }), "etcd-1": new Error("refused"), "etcd-2": status(5) },
    };
    const { faults, next } = statusOfStore(seen, { pods: three, outputs: ["etcd-0"], stack: "dev" });
    same(faults, [
      "etcd-0: alarm:NOSPACE",
      "etcd-1 does not answer",
      "etcd-2 is missing",
      "one was added but never started",
    ]);
    same(next, [
      "If the volume of etcd-1 is lost: node tools/etcd/cli.ts replace etcd-1 -s dev",
      "If the volume of etcd-2 is lost: node tools/etcd/cli.ts replace etcd-2 -s dev",
      "The last pulumi up was for 1: set etcd.replicas to 3 and run pulumi up -s dev, or go back: node tools/etcd/cli.ts scale 1 -s dev",
    ]);
  });
});

describe("tools/etcd/cli.ts", function () {
  this.timeout(60_000);
  const run = (...args: string[]) => {
    const {
      status: code,
      stdout,
      stderr,
    } = spawnSync(process.execPath, [join(import.meta.dirname, "../../../tools/etcd/cli.ts"), ...args], {
      encoding: "utf8",
    });
    return { code, stdout: stdout.slice(0, 40), stderr: stderr.slice(0, 40) };
  };
  const usage = "Usage: node tools/etcd/cli.ts status [--s";

  it("prints its usage, when asked and for invalid commands", () => {
    same(run("--help"), { code: 0, stdout: usage.slice(0, 40), stderr: "" });
    for (const args of [["scale", "2"], ["scale"], ["replace"], ["status", "more"], ["snapshot"], ["grow"]]) {
      same(run(...args), { code: 2, stdout: "", stderr: usage.slice(0, 40) });
    }
  });
});
