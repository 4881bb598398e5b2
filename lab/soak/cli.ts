/** The soak's command line. */
import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { interruptible } from "../../tools/interrupt.ts";
import { inCheckout } from "../paths.ts";
import { forms } from "./forms.ts";
import { render, verdictsOf } from "./report.ts";
import { soak, type SoakResult } from "./soak.ts";

const mark = "<!-- Below this line: written by the soak's option --write. -->";

const usage = `Usage: node lab/soak/cli.ts [--short] [--untimed] [--json] [--write] [--keep]

Starts a lab of its own, brings the platform up, and then does everything at once: new and kept-alive connections through
the gateway, writes through the Admin API, renewals of every leaf, and a rotation of every plane's root to a new generation
(prepare, activate, retire). Prints what was seen next to what must hold.

  --short     one platform, no comparisons: minutes. The long form covers both kinds of roots, one and two gateway pods,
              one and three etcd members, ten minutes of daily use, and nginx's handshakes: about 25 minutes
  --untimed   report what took too long as SLOW instead of wrong, for a busy machine
  --json      print the numbers as JSON
  --write     also write the result to docs/soak.md
  --keep      leave the last lab running
  -h, --help  show this text

Exit code: 0 when all holds, 1 when something does not, 2 when it could not be tried, 130 when interrupted.
`;

process.exit(await main());

async function main(): Promise<number> {
  const signal = interruptible("Interrupted: stopping the lab.");
  try {
    const { values } = parseArgs({
      options: {
        short: { type: "boolean", default: false },
        untimed: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        write: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help) {
      process.stdout.write(usage);
      return 0;
    }
    const progress = (line: string) => process.stderr.write(`${line}\n`);
    const result = await soak(forms[values.short ? "short" : "long"], {
      progress,
      signal,
      keep: values.keep,
    });
    const verdicts = verdictsOf(result);
    process.stdout.write(values.json ? `${JSON.stringify({ ...result, verdicts }, undefined, 2)}\n` : render(result));
    if (values.write) await writeDocument(result);
    return verdicts.every(({ ok, slow }) => ok || (values.untimed && slow)) ? 0 : 1;
  } catch (error) {
    if (signal.aborted) return 130;
    process.stderr.write(`${(error as Error).message}\n`);
    return 2;
  }
}

/** The page that holds the result, below its hand-written part. */
async function writeDocument(result: SoakResult): Promise<void> {
  const file = inCheckout("docs/soak.md");
  const [words = ""] = (await readFile(file, "utf8")).split(mark);
  const about = `${result.began.slice(0, 10)}, ${availableParallelism()} processors, shared with the load generator`;
  const text = `${words}${mark}\n\n${about}.\n\n\`\`\`\n${render(result)}\`\`\`\n`;
  await writeFile(file, text);
}
