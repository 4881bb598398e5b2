// Builds the single file that a ConfigMap carries into the pods: `npm run bundle`. It is committed, and a test compares it with its source.

import { join } from "node:path";

import { build } from "esbuild";

export const bundleFile = join(import.meta.dirname, "bundle.cjs");

/** The bundle's text. Names are kept, so that stack traces stay readable. */
export async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, "main.ts")],
    absWorkingDir: import.meta.dirname,
    bundle: true,
    write: false,
    platform: "node",
    target: "node22",
    format: "cjs",
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
  });
  return outputFiles[0]!.text;
}

if (import.meta.main) {
  const { writeFile } = await import("node:fs/promises");
  await writeFile(bundleFile, await bundle());
}
