// Command line that makes a stack usable again after its update was killed or its cluster was lost.

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

Makes a stack usable after its update was killed: removes Kubernetes objects that the update was creating, if they
carry the stack's label, as well as a half-installed Helm release or the record of an unfinished upgrade, and clears
the pending operations. Does nothing if none are pending. Run it only while no other update of the stack is running.

  -s, --stack NAME    the stack
  --context NAME      kubeconfig context; defaults to the stack's kubernetes:context, else to the current context
  --forget-cluster    for a cluster that is gone for good: removes what lived there from the stack's state and keeps
                      the rest, above all state-held roots; the next \`pulumi up\` rebuilds the platform
  --yes               do not ask before forgetting
  -h, --help          show this text

Exit code: 0 if the next \`pulumi up\` can proceed, 1 if not.
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
    // Labels hold the bare stack name, whichever form was given: [organization/[project/]]stack.
    const left = new Leftovers(cluster.config, stackLabelValue(stack.stack.split("/").at(-1) ?? ""));
    for (const leftover of planned) process.stdout.write(`  ${await left.remove(leftover)}\n`);
  }
  await writeState(stack, { ...state, deployment: { ...state.deployment, pending_operations: [] } });
  process.stdout.write("Pending operations cleared; the next pulumi up continues from here.\n");
}

async function forgetCluster(stack: Named, state: State, sure: boolean): Promise<void> {
  const home = homeOf(state);
  if (!home) throw new Error(`The state of stack ${stack.stack} records no cluster: there is nothing to forget.`);
  const context = await contextOf(home, await clusterOf(stack));
  if (context !== undefined) {
    throw new Error(
      `Cluster ${home}, where stack ${stack.stack} lives, still answers in kubeconfig context "${context}". Nothing was changed. ` +
        `To work there: pulumi config set kubernetes:context ${context}. To take the platform down: pulumi destroy.`,
    );
  }
  const { state: without, forgotten, kept } = forget(state);
  process.stdout.write(
    `No kubeconfig context reaches cluster ${home}, where stack ${stack.stack} lives.\n` +
      `  Its state forgets: ${kindsOf(forgotten)}\n` +
      `  Its state keeps:   ${kindsOf(kept)}\n` +
      `Nothing is deleted in any cluster. To back up the state first: pulumi stack export -s ${stack.stack} --file FILE\n`,
  );
  if (!sure && !(await confirmed(stack.stack)))
    throw new Error("Nothing was changed. To proceed without confirmation, add --yes.");
  await writeState(stack, without);
  process.stdout.write("The cluster is forgotten; the next pulumi up rebuilds the platform.\n");
}

/** A context that reaches the cluster, current or not: a cluster is not lost just because another is selected. */
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
    return (await terminal.question("Type the stack's name to proceed: ")) === answer;
  } finally {
    terminal.close();
  }
}

type Named = StackOf & { readonly stack: string };
