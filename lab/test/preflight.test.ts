import assert from "node:assert/strict";

import { type Machine, problems } from "../preflight.ts";

const fit: Machine = {
  platform: "linux",
  root: true,
  go: "1.26.8",
  wantedGo: "1.26.0",
  missing: [],
  freeGiB: 16,
  warm: false,
  cgroups: true,
  namespaces: true,
};

describe("what the lab needs of a machine", () => {
  it("accepts a suitable machine", () => {
    assert.deepEqual(problems(fit), []);
    assert.deepEqual(problems({ ...fit, go: "1.27", freeGiB: 2, warm: true }), []);
  });

  const cases: [string, Partial<Machine>, RegExp][] = [
    ["another system", { platform: "darwin" }, /needs Linux, and this is darwin.*make up CONTEXT=name/],
    ["an ordinary user", { root: false }, /needs root.*run the command as root.*make up CONTEXT=name/],
    ["no Go", { go: undefined }, /no `go` on PATH: install Go 1\.26\.0 or newer/],
    ["an old Go", { go: "1.9.7" }, /`go` on PATH is 1\.9\.7, lab\/go\.mod needs 1\.26\.0/],
    ["no apt", { missing: ["apt-get"] }, /no `apt-get` on PATH: install the package apt/],
    ["a full disk, cold", { freeGiB: 14.9 }, /14\.9 GiB free, the lab needs 15: free some space, or set MTLS_CACHE/],
    ["a full disk, warm", { freeGiB: 1.9, warm: true }, /1\.9 GiB free, the lab needs 2:/],
    ["read-only cgroups", { cgroups: false }, /\/sys\/fs\/cgroup cannot be written/],
    ["no namespaces", { namespaces: false }, /does not let root create namespaces/],
  ];
  for (const [name, difference, sentence] of cases)
    it(`says in one sentence what to do about ${name}`, () => {
      const [first, ...more] = problems({ ...fit, ...difference });
      assert.match(first ?? "", sentence);
      assert.deepEqual(more, []);
    });

  it("names everything that is wrong at once", () => {
    assert.equal(problems({ ...fit, go: undefined, freeGiB: 0, missing: ["tar", "mount"] }).length, 4);
  });
});
