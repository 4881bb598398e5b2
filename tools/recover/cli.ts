// Command line that makes a stack usable again: after its update was killed, or after its cluster was lost.

import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";

import { Cluster, type ClusterSelection } from "@mtls-everywhere/cluster-access/cluster";

import { stackLabelValue } from "../../components/stackLabel.ts";
import { clusterOf, type StackOf } from "../pulumiCli.ts";
import { forget, homeOf, kindsOf } from "./forget.ts";
import { Leftovers } from "./leftovers.ts";
import { leftovers } from "./plan.ts";
import { readState, refuseLocked, type State, writeState } from "./state.ts";

const usage = `Usage: node tools/recover/cli.ts --stack NAME [--context NAME] [--forget-cluster [--yes]]

Makes a stack usable after its update was killed. Kubernetes objects that the update was creating are removed if they
carry the stack's label, a half-installed Helm release and the record of a half-done upgrade too, and the pending
operations are cleared. Does nothing when none is pending. Run it only when no other update of the stack is running.

  -s, --stack NAME    the stack
  --context NAME      context of the kubeconfig; kubernetes:context of the stack, else its current one unless given
  --forget-cluster    for a cluster that is gone for good: takes what lived there out of the stack's state and keeps
                      the rest, state-held roots above all; the next \`pulumi up\` makes the platform anew
  --yes               do not ask before forgetting
  -h, --help          this text

Exit code: 0 when the next \`pulumi up\` can go on, 1 when it cannot.
`;

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
      "forget-cluster": { type: "boolean" },
      yes: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help || !values.stack) {
    process.stdout.write(usage);
    if (!values.help) process.exitCode = 1;
    return;
  }
  const stack = { stack: values.stack, project: `${import.meta.dirname}/../..` };
  const state = await readState(stack);
  if (values["forget-cluster"]) await forgetCluster(stack, state, values.yes ?? false);
  else await removeLeftovers(stack, state, values.context);
}

async function removeLeftovers(stack: Named, state: State, context: string | undefined): Promise<void> {
  const pending = state.deployment?.pending_operations ?? [];
  if (pending.length === 0) return;

  await refuseLocked(stack, state);
  process.stdout.write(`The last update of ${stack.stack} was killed with ${pending.length} operations pending:\n`);
  const planned = leftovers(pending);
  if (planned.length > 0) {
    const cluster = new Cluster(await clusterOf(stack, context));
    const home = homeOf(state);
    if (home) await cluster.expect(home, `stack ${stack.stack}`);
    // Objects carry the bare name, however the stack was named here: [organization/[project/]]stack.
    const left = new Leftovers(cluster.config, stackLabelValue(stack.stack.split("/").at(-1) ?? ""));
    for (const leftover of planned) process.stdout.write(`  ${await left.remove(leftover)}\n`);
  }
  await writeState(stack, { ...state, deployment: { ...state.deployment, pending_operations: [] } });
  process.stdout.write("Pending operations are cleared; the next up goes on from here.\n");
}

async function forgetCluster(stack: Named, state: State, sure: boolean): Promise<void> {
  const home = homeOf(state);
  if (!home) throw new Error(`The state of stack ${stack.stack} names no cluster: there is nothing to forget.`);
  const context = await contextOf(home, await clusterOf(stack));
  if (context !== undefined) {
    throw new Error(
      `Cluster ${home}, where stack ${stack.stack} lives, answers in context "${context}" of the kubeconfig. Nothing was changed. ` +
        `Work there: pulumi config set kubernetes:context ${context}. To take the platform down: pulumi destroy.`,
    );
  }
  const { state: without, forgotten, kept } = forget(state);
  process.stdout.write(
    `No context of the kubeconfig reaches cluster ${home}, where stack ${stack.stack} lives.\n` +
      `  Its state forgets: ${kindsOf(forgotten)}\n` +
      `  Its state keeps:   ${kindsOf(kept)}\n` +
      `Nothing is deleted in any cluster. A copy of the state as it is: pulumi stack export -s ${stack.stack} --file FILE\n`,
  );
  if (!sure && !(await confirmed(stack.stack)))
    throw new Error("Nothing was changed. To go on without a question: --yes");
  await writeState(stack, without);
  process.stdout.write("The cluster is forgotten; the next up makes the platform anew.\n");
}

/** The context that reaches a cluster, whichever is the current one: a cluster is not lost because another was selected. */
async function contextOf(uid: string, { kubeconfig }: ClusterSelection): Promise<string | undefined> {
  const contexts = new Cluster({ kubeconfig }).config.getContexts().map(({ name }) => name);
  const uids = await Promise.all(
    contexts.map((context) => new Cluster({ kubeconfig, context }).uid().catch(() => undefined)),
  );
  return contexts.find((_context, index) => uids[index] === uid);
}

async function confirmed(answer: string): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return (await terminal.question("Type the stack's name to go on: ")) === answer;
  } finally {
    terminal.close();
  }
}

type Named = StackOf & { readonly stack: string };
