import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

import fc from "fast-check";

import { keyOf } from "../cache.ts";

describe("the lab's cache", function () {
  this.timeout(120_000); // processes of their own, on a busy machine
  let cache: string;
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), "lab-cache-"));
  });
  afterEach(() => rmSync(cache, { recursive: true }));

  /** Arguments for a program with `cached` in a process of its own, as a run of `make` is one. */
  const program = (text: string): string[] => {
    const module = join(import.meta.dirname, "../cache.ts");
    const source = `import { cached } from ${JSON.stringify(module)}; import { writeFileSync } from "node:fs";
      const show = (part) => console.log(JSON.stringify(part.made)); ${text}`;
    return ["--input-type=module", "-e", source];
  };
  const options = () => ({ env: { ...process.env, MTLS_CACHE: cache }, encoding: "utf8", stdio: "pipe" }) as const;
  const run = (text: string) => execFileSync(process.execPath, program(text), options());
  const start = async (text: string) => (await promisify(execFile)(process.execPath, program(text), options())).stdout;

  it("makes a part once, and again for another key", () => {
    const part = (key: string) =>
      run(`show(await cached("bin", "x", "${key}", async (p) => writeFileSync(p, "${key}")))`);
    assert.deepEqual([part("1"), part("1"), part("2")], ["true\n", "false\n", "true\n"]);
    assert.deepEqual(readdirSync(join(cache, "bin")).sort(), ["x-1", "x-2"]);
    assert.equal(readFileSync(join(cache, "bin/x-1"), "utf8"), "1");
  });

  it("never takes an interrupted run's leftovers for a part, and removes them", () => {
    assert.throws(() =>
      run(`await cached("bin", "x", "1", async (p) => { writeFileSync(p, "half"); process.exit(1); })`),
    );
    assert.equal(run(`show(await cached("bin", "x", "1", async (p) => writeFileSync(p, "whole")))`), "true\n");
    assert.deepEqual(readdirSync(join(cache, "bin")), ["x-1"]);
    assert.equal(readFileSync(join(cache, "bin/x-1"), "utf8"), "whole");
  });

  it("waits for another process that makes the same part", async () => {
    const slowly = `async (p) => { writeFileSync(${JSON.stringify(join(cache, "begun"))}, ""); await new Promise((done) => setTimeout(done, 1500)); writeFileSync(p, "whole"); }`;
    const slow = start(`show(await cached("bin", "x", "1", ${slowly}))`);
    while (!existsSync(join(cache, "begun"))) await sleep(20);
    const other = start(`show(await cached("bin", "x", "1", async () => { throw new Error("made twice"); }))`);
    assert.deepEqual(await Promise.all([slow, other]), ["true\n", "false\n"]);
    assert.deepEqual(readdirSync(join(cache, "bin")), ["x-1"]);
  });

  it("tells inputs apart however they are split", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.array(fc.string()), (one, other) => {
        assert.equal(keyOf(...one) === keyOf(...other), JSON.stringify(one) === JSON.stringify(other));
      }),
    );
  });
});
