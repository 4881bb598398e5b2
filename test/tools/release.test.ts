// A release's notes: the changelog's section, and refusals of tags that do not match.

import { equal, throws } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { releaseNotes } from "../../tools/release/notes.ts";

const changelog = `# Changelog

## Unreleased

- Soon.

## 0.2.0 - 2027-01-31

- New.

### Updating from 0.1.0

- Run it twice.

## 0.1.0 - 2026-11-22

First release.
`;

describe("the notes of a release", () => {
  it("are its version's section, including subsections", () => {
    equal(releaseNotes("v0.2.0", "0.2.0", changelog), "- New.\n\n### Updating from 0.1.0\n\n- Run it twice.\n");
    equal(releaseNotes("v0.1.0", "0.1.0", changelog), "First release.\n");
  });

  it("are refused for a tag of another version", () => {
    throws(() => releaseNotes("v0.3.0", "0.2.0", changelog), {
      message: "Tag v0.3.0 does not match the version in package.json, 0.2.0: tag it v0.2.0.",
    });
    throws(() => releaseNotes("0.2.0", "0.2.0", changelog), { message: /^Tag 0\.2\.0 does not match/ });
  });

  it("are refused while the changelog has no dated section for the version", () => {
    const message = 'CHANGELOG.md has no section "## 0.2.1 - YYYY-MM-DD": rename the Unreleased section to it.';
    throws(() => releaseNotes("v0.2.1", "0.2.1", changelog), { message });
    throws(() => releaseNotes("v0.2.1", "0.2.1", changelog + "\n## 0.2.1\n\n- No date.\n"), { message });
  });

  it("are printed by a command, which says what is wrong with a tag", () => {
    const project = join(import.meta.dirname, "../..");
    const { version } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { version: string };
    const run = (tag: string) =>
      spawnSync(process.execPath, ["tools/release/cli.ts", tag], { cwd: project, encoding: "utf8" });
    const wrong = run("v99.0.0");
    equal(wrong.status, 1);
    equal(wrong.stderr, `Tag v99.0.0 does not match the version in package.json, ${version}: tag it v${version}.\n`);
    equal(run("").status, 2);
  });
});
