/** Command line of the proofs. */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { interruptible } from "../../tools/interrupt.ts";
import { inCheckout } from "../paths.ts";
import { Platform } from "../soak/platform.ts";
import { draws, Kept, prove, proveRows, type Proving, type Result } from "./prove.ts";
import { repaired } from "./up.ts";
import { type Table, tables, writePage } from "./tables.ts";

const usage = `Usage: node lab/proofs/cli.ts ${Object.keys(tables).join("|")} [--draws N [--seed S]] [--rows TEXT] [--again] [--keep]

Starts its own lab, brings the platform up, and proves the table row by row: it does something to the platform, and
checks what follows. Results are kept in .proofs: an interrupted run resumes where it was, and wrong rows are retried.
Once all rows are right, it writes the table into its page.

  --draws N   N random rows instead, without keeping their results
  --seed S    seed of the draws, printed by each run: the same seed draws the same rows
  --rows TEXT only rows whose name contains this
  --again     also rows that were right before
  --keep      leave the lab running
  -h, --help  this text

Exit code: 0 when all rows are right, 1 when one is not, 2 when the proofs could not run, 130 when interrupted.
`;

process.exit(await main());

async function main(): Promise<number> {
  const signal = interruptible("Interrupted: ending the lab. Run the same command again to resume.");
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
    return await onPlatform(table, signal, values.keep, (proving) =>
      values.draws === undefined ? proveTable(table, kept, proving, values) : proveDraws(table, count!, seed!, proving),
    );
  } catch (error) {
    if (signal.aborted) return 130;
    say((error as Error).message);
    return 2;
  }
}

async function onPlatform(
  { root }: Table,
  signal: AbortSignal,
  keep: boolean,
  work: (proving: Proving) => Promise<boolean>,
): Promise<number> {
  say("start a lab");
  const platform = await Platform.start({ root, members: 1, gateways: [1] }, signal);
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

/** Which rows to prove. */
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
