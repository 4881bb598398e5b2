// Command line for releases: prints a tag's release notes, or says why it cannot be released.

import { readFileSync } from "node:fs";

import { releaseNotes } from "./notes.ts";

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");

const [tag, ...rest] = process.argv.slice(2);
if (!tag || rest.length > 0) {
  process.stderr.write("Usage: node tools/release/cli.ts TAG\n");
  process.exit(2);
}
try {
  const { version } = JSON.parse(read("package.json")) as { readonly version: string };
  process.stdout.write(releaseNotes(tag, version, read("CHANGELOG.md")));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
