// The situations of people who do this job, by number: each has a test that shows what is right, and that says so in its name.

import { deepStrictEqual as same } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { checkout, testFiles } from "./mocha.ts";

/** How many there are. */
const cases = 27;

/** Those that no test shows yet. What is shown leaves this list. */
const missing: readonly number[] = [8, 13];

describe("the cases", () => {
  it("have a test each, named after it", () => {
    const names = testFiles.flatMap((file) =>
      [...readFileSync(join(checkout, file), "utf8").matchAll(/\b(?:describe|it)\(\s*(["'`])(.*?)\1,/g)].map(
        ([, , name = ""]) => name,
      ),
    );
    const shown = new Set(
      names.flatMap((name) => [...name.matchAll(/\(case (\d+)\)/g)].map(([, number]) => Number(number))),
    );
    const all = Array.from({ length: cases }, (_, index) => index + 1);
    same(
      all.filter((number) => !shown.has(number)),
      missing,
    );
    same(
      [...shown].filter((number) => !all.includes(number)),
      [],
    );
  });
});
