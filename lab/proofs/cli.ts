/** Command line of the proofs. */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { interruptible } from "../interrupt.ts";
import { inCheckout } from "../paths.ts";
import { Platform } from "../soak/platform.ts";
import { draws, Kept, prove, proveRows, type Proving, type Result } from "./prove.ts";
import { repaired } from "./up.ts";
import { type Table, tables, writePage } from "./tables.ts";

const usage = `Usage: node lab/proofs/cli.ts ${Object.keys(tables).join("|")} [--draws N [--seed S]] [--rows TEXT] [--again] [--keep]

Starts a lab of its own, brings the platform up, and proves the table row by row: something is done to the platform, and what must
follow is looked for. What was seen is kept in .proofs: an interrupted run goes on where it was, and rows that were wrong are
tried again. When all rows are right the table is written into its page.

  --draws N   N rows by chance instead, none of them kept
  --seed S    the chance: printed, and the same draws again when it is given
  --rows TEXT only rows with this in their name
  --again     those that were right before, too
  --keep      leave the lab running
  -h, --help  this text

Exit code: 0 when all is right, 1 when something is not, 2 when it could not be tried, 130 when interrupted.
`;

process.exit(await main());

async function main(): Promise<number> {
  const signal = interruptible("Interrupted: ending the lab. The same command goes on from here.");
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        draws: { type: "string" },
        seed: { type: "string" },
        rows: { type: "string", default: "" },
        again: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        help: { type: "boolean", short: "h" },
      },
    });
    const [name = ""] = positionals;
    const table = tables[name];
    if (values.help || table === undefined) {
      process[values.help ? "stdout" : "stderr"].write(usage);
      return values.help ? 0 : 2;
    }
    const kept = new Kept(inCheckout(".proofs", `${name}.jsonl`));
    const [count, seed] = [values.draws ?? "0", values.seed ?? String(randomInt(2 ** 31))].map(Number);
    if (!Number.isInteger(count) || !Number.isInteger(seed)) throw new Error("--draws and --seed take whole numbers.");
    return await onPlatform(signal, values.keep, (proving) =>
      values.draws === undefined ? proveTable(table, kept, proving, values) : proveDraws(table, count!, seed!, proving),
    );
  } catch (error) {
    if (signal.aborted) return 130;
    say((error as Error).message);
    return 2;
  }
}

async function onPlatform(
  signal: AbortSignal,
  keep: boolean,
  work: (proving: Proving) => Promise<boolean>,
): Promise<number> {
  say("start a lab");
  const platform = await Platform.start({ root: "cluster", members: 1, gateways: [1] }, signal);
  try {
    say("pulumi up");
    const { problem } = await platform.up(platform.wantedFirst());
    if (problem !== undefined) throw new Error(`The platform did not come up: pulumi up ${problem}`);
    const heal = async () => void (await repaired(platform));
    return (await work({ platform, progress: say, heal, signal })) ? 0 : 1;
  } finally {
    if (keep) say(`kept: LAB_DIR=${platform.lab} make env; LAB_DIR=${platform.lab} make down`);
    else await platform.stop();
  }
}

/** Rows with a text in their name. */
interface Which {
  readonly rows: string;
  readonly again: boolean;
}

async function proveTable(table: Table, kept: Kept, proving: Proving, which: Which): Promise<boolean> {
  const rows = await table.rows(proving.platform);
  const chosen = rows.filter(({ name }) => name.includes(which.rows));
  const results = await prove(chosen, kept, proving, which.again);
  const wrong = results.filter(({ right }) => !right);
  say(`${results.length} rows, ${wrong.length} wrong`);
  const seen = await kept.read();
  const all = rows.flatMap(({ name }) => seen.get(name) ?? []);
  if (all.length === rows.length && all.every(({ right }) => right)) await writePage(table, all);
  return wrong.length === 0;
}

async function proveDraws(table: Table, count: number, seed: number, proving: Proving): Promise<boolean> {
  say(`seed ${seed}`);
  const results: Result[] = [];
  for (const row of draws(await table.rows(proving.platform), count, seed)) {
    results.push(...(await proveRows([row], proving)));
  }
  const right = results.filter((result) => result.right).length;
  say(`${right} of ${count} draws right, seed ${seed}`);
  return right === count;
}

function say(line: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)}  ${line}\n`);
}
