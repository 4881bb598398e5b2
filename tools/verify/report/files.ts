// The report's files: which form each takes is told by its name, before the run, which takes its time.

import { stat, writeFile } from "node:fs/promises";
import { dirname, extname } from "node:path";

import type { Report } from "../run.ts";
import type { Occasion } from "./findings.ts";
import { junit } from "./junit.ts";
import { page } from "./page.ts";

type Render = (findings: Report, occasion: Occasion) => string;

/** A file to be written after the run. */
export interface ReportFile {
  readonly file: string;
  readonly render: Render;
}

const forms: Readonly<Record<string, Render>> = { ".html": page, ".xml": junit, ".json": json };

/** The files that the command line names. Throws if one's name tells no form, or its folder is missing. */
export async function reportFiles(names: readonly string[]): Promise<readonly ReportFile[]> {
  return Promise.all(
    names.map(async (file) => {
      const render = forms[extname(file).toLowerCase()];
      if (render === undefined)
        throw new Error(
          `--report ${file}: the name must end in .html (a page), .xml (JUnit) or .json. Nothing was checked.`,
        );
      const folder = dirname(file);
      const found = await stat(folder).catch(() => undefined);
      if (!found?.isDirectory())
        throw new Error(`--report ${file}: there is no folder ${folder}. Create it first. Nothing was checked.`);
      return { file, render };
    }),
  );
}

export async function writeReports(files: readonly ReportFile[], findings: Report, occasion: Occasion): Promise<void> {
  await Promise.all(files.map(({ file, render }) => writeFile(file, render(findings, occasion))));
}

/** The report for programs, newline at the end. */
export function json(findings: Report, { stack }: Pick<Occasion, "stack">): string {
  return `${JSON.stringify({ ...(stack ? { stack } : {}), ...findings }, undefined, 2)}\n`;
}
