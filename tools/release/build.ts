// Builds dist/ for `npm pack`: JavaScript with declarations, since Node.js runs no TypeScript below node_modules.

import { execFileSync } from "node:child_process";
import { globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const checkout = resolve(import.meta.dirname, "../..");
const dist = join(checkout, "dist");

rmSync(dist, { recursive: true, force: true });
const compiler = join(checkout, "node_modules/typescript/bin/tsc");
const project = join(import.meta.dirname, "tsconfig.package.json");
// To standard error: a program may be parsing npm's standard output.
execFileSync(process.execPath, [compiler, "--project", project], { stdio: ["ignore", 2, 2] });
for (const file of globSync("**/*.{js,d.ts}", { cwd: dist })) {
  const path = join(dist, file);
  writeFileSync(path, withoutWorkspaces(readFileSync(path, "utf8")));
}

/**
 * In the package, the workspaces become subpath imports, named in package.json. The life cycles need a public name: the
 * code in a stack's state imports them, and runs in the consumer's folder.
 */
function withoutWorkspaces(text: string): string {
  return text
    .replaceAll('"@mtls-everywhere/dynamic-resources"', '"mtls-everywhere/dynamic-resources"')
    .replaceAll('"@mtls-everywhere/', '"#');
}
