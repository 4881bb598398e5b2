// Command line that checks a platform after `pulumi up`: what must pass passes, what must be refused is refused.

import { parseArgs } from "node:util";

import { Cluster } from "@mtls-everywhere/cluster-access/cluster";

import { interruptible } from "../interrupt.ts";
import { clusterOf } from "../pulumiCli.ts";
import { RequestedCertificates } from "./certificates.ts";
import { readOutputs } from "./outputs.ts";
import { json, reportFiles, writeReports } from "./report/files.ts";
import { render } from "./report/text.ts";
import { run } from "./run.ts";

const usage = `Usage: node tools/verify/cli.ts [--stack NAME] [--outputs FILE] [--context NAME] [--json] [--report FILE]...

Tries every hop of a running platform, with right and with wrong credentials.

  -s, --stack NAME    stack whose outputs tell where things are; defaults to the selected one
  --outputs FILE      read the outputs from a file (\`pulumi stack output --json\`), or - for standard input
  --context NAME      kubeconfig context; defaults to the stack's kubernetes:context (not with --outputs), else to the
                      current context. The kubeconfig is the stack's kubernetes:kubeconfig, else KUBECONFIG
  --json              print the report as JSON
  --report FILE       also write the report to a file, as its name says: .html is a page for people, .xml is
                      JUnit, .json is JSON. May be repeated
  -h, --help          show this text

Exit code: 0 if every line is right, 1 if any is wrong, 2 if the checks could not run, 130 if interrupted.
`;

process.exit(await main());

async function main(): Promise<number> {
  const signal = interruptible("Interrupted: removing what the checks created.");
  try {
    const { values } = parseArgs({
      options: {
        stack: { type: "string", short: "s" },
        outputs: { type: "string" },
        context: { type: "string" },
        json: { type: "boolean" },
        report: { type: "string", multiple: true },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help) {
      process.stdout.write(usage);
      return 0;
    }

    const { stack, outputs: file, context } = values;
    const reports = await reportFiles(values.report ?? []);
    const project = `${import.meta.dirname}/../..`;
    const [outputs, selection] = await Promise.all([
      readOutputs({ stack, file }, project),
      // The cluster is the program's choice, except with outputs from a file: there may be no Pulumi here.
      file === undefined ? clusterOf({ stack, project }, context) : { context },
    ]);
    const cluster = new Cluster(selection);
    progress("requesting certificates");
    const start = new Date();
    const report = await run({
      outputs,
      access: cluster,
      certificates: new RequestedCertificates(cluster.config, outputs.namespace),
      signal,
      onLeftover: (reason) =>
        process.stderr.write(`Not cleaned up: ${reason} A run ten minutes from now or later removes it.\n`),
      onWaiting: (reasons) => progress(`waiting: ${reasons.join(", ")}`),
      onRestless: (reasons) => {
        progress("");
        process.stderr.write(
          `The platform has not finished rolling out and is checked as it is: ${reasons.join(", ")}.\n`,
        );
      },
      onResult: ({ hop, case: name }, done, total) => progress(`${done} of ${total} done: ${hop}, ${name}`),
    });
    progress("");

    const colour = Boolean(process.stdout.isTTY) && !process.env.NO_COLOR;
    process.stdout.write(values.json ? json(report, { stack }) : render(report, outputs.gateway.url, { colour }));
    await writeReports(reports, report, { stack, outputs, start, ms: Date.now() - start.getTime() });
    return report.ok ? 0 : 1;
  } catch (error) {
    progress("");
    if (signal.aborted) return 130;
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
}

/** One line that is overwritten in place; shown on a terminal only. */
function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns || 80) - 1)}`);
}
