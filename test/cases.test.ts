// The situations of people who do this job, by number: each has a test that shows what is right, and whose name says so.

import { deepStrictEqual as same } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { checkout, testFiles } from "./mocha.ts";

describe("the cases", () => {
  it("have a test each, named after it", () => {
    // Names end with the number, whether they stand in a call or in a table of rows.
    const marks = testFiles.flatMap((file) => [
      ...readFileSync(join(checkout, file), "utf8").matchAll(/^[^/\n]*["'`].*\(case (\d+)\)["'`]/gm),
    ]);
    const shown = new Set(marks.map(([, number]) => Number(number)));
    const all = Array.from({ length: 27 }, (_, index) => index + 1);
    same(
      [...shown].sort((a, b) => a - b),
      all,
    );
  });
});
