// docs/istio.md: each of Istio's steps is said to be equal or different here, with tests that exist.

import { deepEqual, match, ok } from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const page = readFileSync(join(import.meta.dirname, "../docs/istio.md"), "utf8");

/** A numbered item, its lines joined. */
const steps = page
  .split(/\n(?=\d+\. )|\n\n/)
  .map((text) => text.replaceAll(/\s+/g, " "))
  .filter((text) => /^\d+\. /.test(text));

/** Test file without its ending, and title. */
const reference = /`([\w./-]+)` "([^"]+)"/g;

describe("docs/istio.md", () => {
  it("numbers its steps without a gap", () => {
    deepEqual(
      steps.map((step) => parseInt(step)),
      steps.map((_, at) => at + 1),
    );
    ok(steps.length > 30, `${steps.length} steps`);
  });

  for (const step of steps) {
    it(`says how step ${step.slice(0, step.indexOf("**", 6)).replace("**", "")} is here, and what proves it`, () => {
      match(step, /^\d+\. \*\*[^*]+\.\*\* _(Equal|Different)_/);
      const [, proof] = step.split(/ Proof: /);
      if (proof === undefined) {
        match(step, / No proof: [^.]+\.$/);
        return;
      }
      const tests = [...proof.matchAll(reference)];
      ok(tests.length > 0, "names no test");
      for (const [, file = "", title = ""] of tests) {
        const path = ["test.ts", "ts"]
          .map((ending) => join(import.meta.dirname, `${file}.${ending}`))
          .find((candidate) => existsSync(candidate));
        ok(path, `no test file ${file}`);
        ok(readFileSync(path, "utf8").includes(`it("${title}"`), `${file} has no test "${title}"`);
      }
    });
  }
});
