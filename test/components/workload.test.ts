// What rolls a workload's pods.

import { notStrictEqual as differs, strictEqual as equal } from "node:assert/strict";

import { settingsDigest } from "../../components/workload.ts";

describe("a digest of settings", () => {
  it("changes with each of them, and only then", () => {
    const settings = { "nginx.conf": "http {}", roots: "one" };
    equal(settingsDigest(settings), settingsDigest({ ...settings }));
    for (const change of [{ roots: "two" }, { "nginx.conf": "" }]) {
      differs(settingsDigest({ ...settings, ...change }), settingsDigest(settings));
    }
  });
});
