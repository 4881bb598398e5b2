// The API page: equal to what is generated from the sources' comments.

import { equal } from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const project = join(import.meta.dirname, "..");

describe("docs/api.md", function () {
  this.timeout(300_000);
  const folder = mkdtempSync(join(tmpdir(), "api-"));
  after(() => rmSync(folder, { recursive: true }));

  it("is what the sources generate, without a warning: run `npm run docs`", async () => {
    // It fails on any warning.
    await promisify(execFile)("npm", ["run", "--silent", "docs", "--", "--out", folder], { cwd: project });
    equal(readFileSync(join(folder, "api.md"), "utf8"), readFileSync(join(project, "docs/api.md"), "utf8"));
  });
});
