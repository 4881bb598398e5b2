// Command line that makes a stack usable after its update was killed: clears pending operations, removes what they left.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";

import { Cluster } from "@mtls-everywhere/apisix-admin/access";

import { stackLabelValue } from "../components/stackLabel.ts";
import { Leftovers } from "./leftovers.ts";
import { leftovers, type PendingOperation } from "./plan.ts";

const usage = `Usage: node recover/cli.ts --stack NAME [--context NAME]

Makes a stack usable after its update was killed. Kubernetes objects that the update was creating are removed if they
carry the stack's label, a half-installed Helm release too, and the pending operations are cleared. Does nothing when
none is pending. Run it only when no other update of the stack is running.

  -s, --stack NAME    the stack
  --context NAME      context of the kubeconfig; its current one unless given
  -h, --help          this text

Exit code: 0 when the next \`pulumi up\` can go on, 1 when it cannot.
`;

const run = promisify(execFile);
const pulumi = async (...args: string[]) => {
  const options = { cwd: `${import.meta.dirname}/..`, maxBuffer: 256 * 2 ** 20 };
  return (await run("pulumi", [...args, "--non-interactive"], options)).stdout;
};

try {
  await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      stack: { type: "string", short: "s" },
      context: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help || !values.stack) {
    process.stdout.write(usage);
    if (!values.help) process.exitCode = 1;
    return;
  }
  const { stack } = values;
  const exported = JSON.parse(await pulumi("stack", "export", "--stack", stack)) as {
    readonly deployment?: { readonly pending_operations?: readonly PendingOperation[] };
  };
  const pending = exported.deployment?.pending_operations ?? [];
  if (pending.length === 0) return;

  process.stdout.write(`The last update of ${stack} was killed with ${pending.length} operations pending:\n`);
  const cluster = new Leftovers(new Cluster({ context: values.context }).config, stackLabelValue(stack));
  for (const leftover of leftovers(pending)) process.stdout.write(`  ${await cluster.remove(leftover)}\n`);

  const folder = await mkdtemp(join(tmpdir(), "mtls-recover-"));
  try {
    const file = join(folder, "state.json");
    const cleared = { ...exported, deployment: { ...exported.deployment, pending_operations: [] } };
    // Secrets in it stay encrypted, as they were exported.
    await writeFile(file, JSON.stringify(cleared), { mode: 0o600 });
    await pulumi("stack", "import", "--stack", stack, "--file", file);
  } finally {
    await rm(folder, { recursive: true });
  }
  process.stdout.write("Pending operations are cleared; the next up goes on from here.\n");
}
