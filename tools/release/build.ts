// Makes dist/, which `npm pack` packs: the public surface as JavaScript with declarations, since Node.js runs no TypeScript below node_modules.

import { execFileSync } from "node:child_process";
import { globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const checkout = resolve(import.meta.dirname, "../..");
const dist = join(checkout, "dist");

rmSync(dist, { recursive: true, force: true });
const compiler = join(checkout, "node_modules/typescript/bin/tsc");
const project = join(import.meta.dirname, "tsconfig.package.json");
// To standard error: npm's standard output may be an answer for programs.
execFileSync(process.execPath, [compiler, "--project", project], { stdio: ["ignore", 2, 2] });
for (const file of globSync("**/*.{js,d.ts}", { cwd: dist })) {
  const path = join(dist, file);
  writeFileSync(path, withoutWorkspaces(readFileSync(path, "utf8")));
}

/**
 * The workspaces are parts of the one package there, by the names that package.json gives them. The life cycles have a public one: the
 * code in a stack's state imports them, and is run in the consumer's folder.
 */
function withoutWorkspaces(text: string): string {
  return text
    .replaceAll('"@mtls-everywhere/dynamic-resources"', '"mtls-everywhere/dynamic-resources"')
    .replaceAll('"@mtls-everywhere/', '"#');
}
