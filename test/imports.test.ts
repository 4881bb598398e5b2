// Who may import whom, according to the linter: the tree passes, and wrong imports are refused, types included.

import { deepStrictEqual as same, equal } from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const { lines } = (await import(join(root, ".dependency-cruiser.mjs"))) as { readonly lines: readonly string[] };

/** The output of `npm run imports`, which is part of `npm run lint`. */
function imports(folder: string): Promise<{ readonly status: number; readonly refused: readonly string[] }> {
  return new Promise((resolve) => {
    execFile("npm", ["run", "--silent", "imports"], { cwd: folder }, (error, stdout) => {
      const refused = stdout.split("\n").filter((line) => line.startsWith("  error "));
      resolve({
        status: error === null ? 0 : Number(error.code),
        refused: refused.map((line) => line.slice(8)).sort(),
      });
    });
  });
}

describe("imports", function () {
  this.timeout(180_000);

  it("only go downwards, without cycles", async () => {
    same(await imports(root), { status: 0, refused: [] });
  });

  describe("that are wrong", () => {
    const copy = mkdtempSync(join(tmpdir(), "imports-"));
    const plant = (file: string, text: string) => writeFileSync(join(copy, file), text);

    before(() => {
      const sources = new Set(lines.map((line) => line.split("/")[0]!));
      for (const entry of [...sources, "package.json", "tsconfig.json", ".dependency-cruiser.mjs"]) {
        const ours = (path: string) => !/\/(node_modules|upgrade|[^/]+\.go)$/.test(path);
        cpSync(join(root, entry), join(copy, entry), { recursive: true, filter: ours });
      }
      // The packages are the tree's, except its own, which are copies.
      const own = "@mtls-everywhere";
      mkdirSync(join(copy, "node_modules", own), { recursive: true });
      for (const entry of readdirSync(join(root, "node_modules")).filter((name) => name !== own)) {
        symlinkSync(join(root, "node_modules", entry), join(copy, "node_modules", entry));
      }
      for (const entry of readdirSync(join(root, "node_modules", own))) {
        const folder = entry === "example-consumer" ? "examples/consumer" : entry === "roles" ? "tools/roles" : entry;
        symlinkSync(join(copy, folder), join(copy, "node_modules", own, entry));
      }
    });
    after(() => rmSync(copy, { recursive: true, force: true }));

    it("are refused, each by its own rule", async () => {
      plant("components/planted.ts", 'import { readConfig } from "../config.ts";\nexport const read = readConfig;\n');
      plant("cluster-access/planted.ts", 'export type { AdminClient } from "@mtls-everywhere/apisix-admin";\n');
      plant("rotation/planted.ts", 'import { paths } from "../lab/paths.ts";\nexport const planted = paths;\n');
      plant("renewer/planted.ts", 'export const { lines } = await import("../test/imports.test.ts");\n');
      plant("policy/one.ts", 'import type { Two } from "./two.ts";\nexport type One = Two | 1;\n');
      plant("policy/two.ts", 'import type { One } from "./one.ts";\nexport type Two = One | 2;\n');
      plant("vocabulary/planted.ts", 'export { readFileSync } from "node:fs";\n');
      plant(
        "apisix-admin/resources.ts",
        'export * from "../config.ts";\nexport * from "@mtls-everywhere/dynamic-resources";\n',
      );
      mkdirSync(join(copy, "elsewhere"));
      plant("elsewhere/planted.ts", 'export * from "../urn.ts";\n');
      same(await imports(copy), {
        status: 8,
        refused: [
          "beside zod in the vocabulary: vocabulary/planted.ts → fs",
          "circle: policy/one.ts → ",
          "nowhere: elsewhere/planted.ts → urn.ts",
          "upwards from apisix-admin/resources.ts: apisix-admin/resources.ts → config.ts",
          "upwards from cluster-access/: cluster-access/planted.ts → apisix-admin/index.ts",
          "upwards from components/: components/planted.ts → config.ts",
          "upwards from renewer/: renewer/planted.ts → test/imports.test.ts",
          "upwards from rotation/: rotation/planted.ts → lab/paths.ts",
        ],
      });
    });
  });

  it("follow the order of CONTRIBUTING's tree, in which subfolders build on their folder", () => {
    const [, tree = ""] = /\n## The tree\n[^]*?```\n([^]*?)```/.exec(
      readFileSync(join(root, "CONTRIBUTING.md"), "utf8"),
    )!;
    const entries = [...tree.matchAll(/^( *)([\w./-]+)/gm)].map(([, indent = "", name = ""]) => ({ indent, name }));
    const ordered = entries.flatMap(({ indent, name }, at) => {
      if (indent !== "") return [];
      const next = entries.findIndex((entry, other) => other > at && entry.indent === "");
      const inside = entries.slice(at + 1, next < 0 ? undefined : next).map((entry) => name + entry.name);
      return [...inside, name];
    });
    equal(ordered.filter((name) => lines.includes(name)).join("\n"), lines.join("\n"));
  });
});
