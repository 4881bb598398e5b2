// Runs the tests that need no cluster at a later date: with libfaketime for Node.js, with LAB_CLOCK for the stand-ins. The real
// etcd keeps the machine's date, and has to agree.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { faketime } from "../lab/debian.ts";
import { type Finished, mocha, startNode, testFiles } from "./mocha.ts";

const usage = `Usage: node test/dates.ts [FILE...]

Runs these test files (default: all that need no cluster) with the date a month, two years and eleven years ahead.
Exit code 0 if all tests pass and the counts are the same on every date.
`;

const day = 24 * 3_600_000;
const dates = [
  { ahead: "a month", days: 30 },
  { ahead: "two years", days: 2 * 365 },
  // Longer than any certificate of the platform.
  { ahead: "eleven years", days: 11 * 365 },
];

/** Folders, and suites by name, that involve a Kubernetes, whose date cannot be moved. */
const leftOut = {
  folders: ["test/e2e/"],
  suites: ["on a machine that carries the lab", "against an API server", "the lab's Go code"],
};

if (process.argv.includes("--help")) process.stdout.write(usage);
else process.exitCode = await main(process.argv.slice(2));

async function main(given: readonly string[]): Promise<number> {
  if (process.platform !== "linux") {
    console.error("This moves the date with Debian's libfaketime: run it on Debian or Ubuntu.");
    return 2;
  }
  const { path: library } = await faketime((line) => console.log(`  ${line}`));
  const files = given.length > 0 ? given : clusterless();
  console.log(
    `Left out because they run or compile a Kubernetes: ${[...leftOut.folders, ...leftOut.suites].join(", ")}.`,
  );
  // Not the user's cache, where everything would count as unused for years.
  const cache = mkdtempSync(join(tmpdir(), "dates-"));
  const seen = new Map<string, string[]>();
  let failed = false;
  try {
    for (const { ahead, days } of dates) {
      const env = { ...process.env, ...moved(days, library), MTLS_CACHE: cache };
      const now = Number((await startNode(["-p", "Date.now()"], { env }).ended).output);
      if (!(now > Date.now() + (days - 1) * day)) throw new Error(`${library} does not move the date of Node.js.`);
      const date = new Date(now).toISOString().slice(0, 10);
      console.log(`${date}, ${ahead} ahead: ${files.length} test files`);
      const { code, output } = await runMocha(files, env);
      const counts = output.trimEnd().split("\n").at(-1) ?? "";
      console.log(code === 0 ? `  ${counts}` : output.slice(Math.max(0, output.search(/^ +\d+ passing/m))));
      failed ||= code !== 0;
      seen.set(counts, [...(seen.get(counts) ?? []), date]);
    }
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
  for (const [counts, on] of seen) console.log(`${on.join(", ")}: ${counts}`);
  return failed || seen.size > 1 ? 1 : 0;
}

function clusterless(): string[] {
  return testFiles.filter((file) => !leftOut.folders.some((folder) => file.startsWith(folder)));
}

/** What moves a program's date: its monotonic clock stays, so that deadlines keep their length. */
function moved(days: number, library: string): NodeJS.ProcessEnv {
  return {
    LD_PRELOAD: library,
    FAKETIME: `+${days}d`,
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    LAB_CLOCK: `+${days * 24}h`,
  };
}

/** Runs mocha, and reports its progress every 15 seconds. */
function runMocha(files: readonly string[], env: NodeJS.ProcessEnv): Promise<Finished> {
  const start = performance.now();
  let said = 0;
  const heard = (output: string) => {
    const seconds = Math.round((performance.now() - start) / 1000);
    if (seconds < said + 15) return;
    said = seconds;
    console.log(`  ${output.match(/^ +✔/gm)?.length ?? 0} tests passed, ${seconds} s`);
  };
  return startNode([mocha, "--invert", "--grep", leftOut.suites.join("|"), ...files], { env, heard }).ended;
}
