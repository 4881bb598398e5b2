// Measures the platform against the seed post's setup, in the same lab and run, and prints ratios.

import { execFile } from "node:child_process";
import { readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs, promisify } from "node:util";

import { environmentOf, makeFolder, removeFolder, settingsOf } from "../temporary.ts";

const usage = `Usage: node lab/bench/run.ts [--runs N] [--cold] [--json]

Starts a lab of its own, then measures in turns, N times each (default 3):

  baseline          the seed post's steps as a script (helm, kubectl, curl), from a ready cluster to the first 200
  zero to verified  \`pulumi up\` from nothing plus the check of every hop, on the same ready cluster
  no-op preview     \`pulumi preview\` with nothing to change

and once each, from no lab to verified: \`make up\` with a warm cache and, with --cold, with an empty one (about 15 minutes).
Ratios are to the baseline's median. Figures are better on a quiet machine: other work is measured too.
`;

const root = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

interface Measurement {
  readonly name: string;
  readonly seconds: readonly number[];
}

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "3" },
    cold: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) process.stdout.write(usage);
else await main(Number(values.runs), values.cold, values.json);

async function main(runs: number, cold: boolean, json: boolean): Promise<void> {
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs takes a whole number from 1, not "${values.runs}".`);
  const folder = await makeFolder("bench");
  const lab = settingsOf(folder);
  const measurements: Measurement[] = [];
  try {
    if (cold) {
      const empty = { ...lab, LAB_DIR: join(folder, "cold-lab"), MTLS_CACHE: join(folder, "cache") };
      measurements.push(await once("cold make up", () => command("make", ["up"], empty)));
      await command("make", ["down"], empty);
      await rm(join(folder, "cache"), { recursive: true });
    }
    measurements.push(await once("warm make up", () => command("make", ["up"], lab)));
    const env = await environmentOf(lab);
    await destroy(env);
    const helm = await helmFolder(folder, env);
    const chart = (await readFile(join(folder, "lab/Pulumi.dev.yaml"), "utf8")).match(/chart: (.*)/)?.[1] ?? "";

    const baseline: number[] = [];
    const verified: number[] = [];
    const preview: number[] = [];
    for (let turn = 1; turn <= runs; turn++) {
      progress(`turn ${turn} of ${runs}: baseline`);
      baseline.push(await seconds(() => command("lab/bench/seed/run.sh", [chart], helm)));
      await command("lab/bench/seed/run.sh", ["--undo"], helm);
      progress(`turn ${turn} of ${runs}: the platform`);
      verified.push(
        await seconds(async () => {
          await command("pulumi", ["up", "--yes", "--skip-preview", "--non-interactive"], env);
          await command("node", ["tools/verify/cli.ts"], env);
        }),
      );
      preview.push(
        await seconds(() => command("pulumi", ["preview", "--expect-no-changes", "--non-interactive"], env)),
      );
      await destroy(env);
    }
    measurements.push(
      { name: "baseline", seconds: baseline },
      { name: "zero to verified", seconds: verified },
      { name: "no-op preview", seconds: preview },
    );
    print(measurements, json);
  } finally {
    await command("node", ["lab/cli.ts", "down"], lab);
    await removeFolder(folder);
  }
}

async function destroy(env: NodeJS.ProcessEnv): Promise<void> {
  await command("pulumi", ["destroy", "--yes", "--skip-preview", "--non-interactive"], env);
}

/** The same, with the Helm CLI on PATH, which the platform does not need. */
async function helmFolder(folder: string, env: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  const { build } = await import("../binaries.ts");
  progress("build the Helm CLI");
  const helm = await build("helm", () => {});
  await symlink(helm.path, join(folder, "helm"));
  return { ...env, PATH: `${folder}:${env.PATH}` };
}

async function command(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await run(program, [...args], { cwd: root, env, maxBuffer: 64 * 2 ** 20 });
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    const log = join(tmpdir(), "mtls-bench-failure.log");
    await writeFile(log, stdout + stderr);
    throw new Error(`${[program, ...args].join(" ")} failed; see ${log}:\n${(stderr || stdout).slice(-2000)}`);
  }
}

async function once(name: string, work: () => Promise<void>): Promise<Measurement> {
  progress(name);
  return { name, seconds: [await seconds(work)] };
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

function print(measurements: readonly Measurement[], json: boolean): void {
  const reference = median(measurements.find(({ name }) => name === "baseline")?.seconds ?? []);
  const rows = measurements.map(({ name, seconds }) => ({
    name,
    median: median(seconds),
    seconds,
    ratio: median(seconds) / reference,
  }));
  if (json) {
    process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
    return;
  }
  process.stdout.write(`${"WHAT".padEnd(27)}${"MEDIAN".padStart(9)}${"RATIO".padStart(8)}  RUNS\n`);
  for (const row of rows) {
    const runs = row.seconds.map((value) => value.toFixed(1)).join(" ");
    process.stdout.write(
      `${row.name.padEnd(27)}${`${row.median.toFixed(1)} s`.padStart(9)}${row.ratio.toFixed(2).padStart(8)}  ${runs}\n`,
    );
  }
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function progress(what: string): void {
  process.stderr.write(`${what}\n`);
}
