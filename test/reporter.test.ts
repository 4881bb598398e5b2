// How a mocha run ends, as seen by whoever started it.

import { deepStrictEqual as same } from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const checkout = resolve(import.meta.dirname, "..");

/** Runs mocha on a file of its own; returns the exit code and the last line of output. */
function mocha(tests: string): Promise<{ code: number; lastLine: string | undefined }> {
  const folder = mkdtempSync(join(tmpdir(), "reporter-"));
  const file = join(folder, "some.test.cjs");
  writeFileSync(file, tests);
  const args = [
    join(checkout, "node_modules/mocha/bin/mocha.js"),
    "--no-config",
    "--reporter",
    "test/reporter.ts",
    file,
  ];
  return new Promise((done) =>
    execFile(process.execPath, args, { cwd: checkout }, (error, output) => {
      rmSync(folder, { recursive: true });
      done({ code: error ? Number(error.code) : 0, lastLine: output.trimEnd().split("\n").at(-1) });
    }),
  );
}

describe("a run of the tests", () => {
  it("ends with the counts, whatever is printed after the last test", async () => {
    const tests = `it("a", () => {}); it("b", () => {}); it.skip("c"); it("d");
      it("e", function () { this.skip(); }); after(() => setTimeout(() => console.log("late"), 50));`;
    same(await mocha(tests), { code: 0, lastLine: "2 passed, 0 failed, 3 skipped" });
  });

  it("counts failed tests and failed hooks, and fails", async () => {
    const tests = `it("a", () => { throw new Error("a"); }); it("b", () => {});
      describe("c", () => { before(() => { throw new Error("c"); }); it("d", () => {}); });`;
    same(await mocha(tests), { code: 2, lastLine: "1 passed, 2 failed, 0 skipped" });
  });
});
