/** Labs of tests and measurements, each in a folder below `.labs`, where `make down` finds it if its run was killed. */
import { globSync } from "node:fs";
import { mkdir, mkdtemp, rm, rmdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { execa } from "execa";
import { inCheckout, lab } from "./paths.ts";
import { runningLabs } from "./processes.ts";

/** The file that marks a lab's folder. */
export const marker = "LAB";

const root = inCheckout(".labs");
const cli = join(import.meta.dirname, "cli.ts");

/** A new folder for one run; `removeFolder` removes it. */
export async function makeFolder(name: string): Promise<string> {
  await mkdir(root, { recursive: true });
  return mkdtemp(join(root, `${name}-`));
}

/** Removes a run's folder, and the parent if it was the last. */
export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await rmdir(root).catch(() => undefined); // it still holds another run's
}

/** A lab in a run's folder: the settings that make commands use it, whatever the caller's own say. */
export function settingsOf(folder: string, more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  // The caller's Pulumi settings would lead to another stack.
  const env = Object.entries(process.env).filter(([name]) => !name.startsWith("PULUMI_"));
  const own = { LAB_DIR: join(folder, "lab"), STACK: "dev", CONTEXT: "" };
  return { ...Object.fromEntries(env), ...own, ...more };
}

/** The settings of a running lab, with what `make env` exports for it. */
export async function environmentOf(settings: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  const { stdout } = await execa(process.execPath, [cli, "env"], { env: settings, extendEnv: false });
  const exports = stdout.matchAll(/^export (\w+)='(.*)'$/gm);
  return {
    ...settings,
    ...Object.fromEntries([...exports].map(([, name = "", value = ""]) => [name, value.replaceAll("'\\''", "'")])),
  };
}

/** Every other lab of this checkout: running ones anywhere, and stopped ones in the folders for tests and measurements. */
export async function otherLabs(): Promise<string[]> {
  const left = globSync([`.labs/{*,*/*,*/*/*}/${marker}`, `.test-lab/${marker}`], { cwd: inCheckout() });
  const folders = [...(await runningLabs()), ...left.map((file) => resolve(inCheckout(), dirname(file)))];
  return [...new Set(folders)].filter((folder) => folder !== lab);
}

/** Removes what surrounded killed runs' labs, once these have ended. */
export async function removeTemporary(): Promise<void> {
  await rm(root, { recursive: true, force: true });
}
