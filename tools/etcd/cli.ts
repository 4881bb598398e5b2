// Command line for etcd: status, scaling, replacing a lost member, snapshot and restore.

import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";

import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";

import type { PlatformOutputs } from "../../outputs.ts";
import { interruptible } from "../interrupt.ts";
import { seeMembers } from "../verify/members.ts";
import { platformOf } from "../verify/outputs.ts";
import { type Change, replace, scale } from "./change.ts";
import { asApisix, asRoot } from "./connect.ts";
import { render, statusOfStore } from "./report.ts";
import { read, restoration, restore, take, write } from "./snapshot.ts";

const usage = `Usage: node tools/etcd/cli.ts status [--stack NAME] [--context NAME] [--json]
       node tools/etcd/cli.ts scale 1|3|5 [--stack NAME] [--context NAME] [--json]
       node tools/etcd/cli.ts replace MEMBER [--stack NAME] [--context NAME] [--json]
       node tools/etcd/cli.ts snapshot FILE [--stack NAME] [--context NAME]
       node tools/etcd/cli.ts restore FILE [--yes] [--stack NAME] [--context NAME]

status    shows etcd's members, which one leads, how large each database is, and what is missing. It changes nothing.
scale     adds or removes members, one at a time. Then set etcd.replicas to the same number and run pulumi up.
replace   replaces a member whose volume is lost: removes it, and adds it again with an empty volume.
snapshot  writes what APISIX keeps in etcd to a new file: routes, upstreams, certificates with their sealed keys.
restore   restores what APISIX keeps in etcd from a snapshot; anything added since then is deleted.

  -s, --stack NAME    the stack; default: the selected one
  --context NAME      context of the kubeconfig; default: the stack's kubernetes:context, else the current one
  --yes               restore without asking
  --json              print the status as JSON, and progress on standard error
  -h, --help          this text

If it was interrupted or killed, run the same command again: it resumes from the live state.

Exit code: 0 when done and all members are healthy, 1 when one is not, 2 when the command failed or is not valid,
130 when interrupted.
`;

process.exit(await main());

interface Tool {
  readonly cluster: Cluster;
  readonly outputs: PlatformOutputs;
  /** Its name on the command line, or a placeholder. */
  readonly stack: string;
  readonly signal: AbortSignal;
  readonly json: boolean;
}

async function main(): Promise<number> {
  const signal = interruptible("Interrupted. Run the same command again: it resumes from here.");
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        stack: { type: "string", short: "s" },
        context: { type: "string" },
        yes: { type: "boolean" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    const [name = "", argument = "", ...rest] = positionals;
    const command = rest.length === 0 ? commandOf(name, argument, values.yes ?? false) : undefined;
    if (values.help || command === undefined) {
      process[values.help ? "stdout" : "stderr"].write(usage);
      return values.help ? 0 : 2;
    }
    const { stack, context, json = false } = values;
    const { outputs, cluster } = await platformOf(stack, context);
    return await command({ cluster, outputs, stack: stack ?? "<stack>", signal, json });
  } catch (error) {
    if (signal.aborted) return 130;
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
}

type Command = (tool: Tool) => Promise<number>;

/** The command by its name and argument; undefined if it is not valid. */
function commandOf(name: string, argument: string, yes: boolean): Command | undefined {
  switch (name) {
    case "status":
      return argument === "" ? status : undefined;
    case "scale":
      return /^[135]$/.test(argument)
        ? (tool) => changed(tool, (change) => scale(change, Number(argument)))
        : undefined;
    case "replace":
      return argument === "" ? undefined : (tool) => changed(tool, (change) => replace(change, argument));
    case "snapshot":
      return argument === "" ? undefined : (tool) => snapshotInto(tool, argument);
    case "restore":
      return argument === "" ? undefined : (tool) => restoreFrom(tool, argument, yes);
    default:
      return undefined;
  }
}

async function status({ cluster, outputs, stack, signal, json }: Tool): Promise<number> {
  const { call, pods } = await asRoot(cluster, outputs);
  const names = Array.from({ length: await pods.replicas() }, (_, ordinal) => pods.name(ordinal));
  const seen = await seeMembers(call, names, AbortSignal.any([signal, AbortSignal.timeout(30_000)]));
  const found = statusOfStore(seen, { pods: names, outputs: outputs.store.members ?? names, stack });
  process.stdout.write(json ? `${JSON.stringify(found, undefined, 2)}\n` : render(found));
  return found.faults.length === 0 ? 0 : 1;
}

async function changed(tool: Tool, act: (change: Change) => Promise<void>): Promise<number> {
  const { cluster, outputs, signal, json } = tool;
  const onStep = (line: string) => process[json ? "stderr" : "stdout"].write(`${line}\n`);
  await act({ ...(await asRoot(cluster, outputs)), signal, onStep });
  return status(tool);
}

async function snapshotInto({ cluster, outputs, signal }: Tool, file: string): Promise<number> {
  const { call } = await asApisix(cluster, outputs);
  const { prefix } = outputs.store;
  const taken = await take(call, { cluster: outputs.store.cluster, prefix }, signal);
  await write(file, taken);
  process.stdout.write(`${file}: ${taken.keys.length} keys under ${prefix}, as of revision ${taken.revision}\n`);
  return 0;
}

async function restoreFrom({ cluster, outputs, signal }: Tool, file: string, yes: boolean): Promise<number> {
  const { prefix } = outputs.store;
  const wanted = await read(file, prefix);
  const { call } = await asApisix(cluster, outputs);
  const live = await take(call, { cluster: outputs.store.cluster, prefix }, signal);
  const planned = restoration(live.keys, wanted.keys);
  const { puts, deletes, same } = planned;
  process.stdout.write(`${file}: ${puts.length} keys to write, ${deletes.length} to delete, ${same} unchanged\n`);
  if (puts.length + deletes.length > 0) {
    if (!yes && !(await confirmed())) throw new Error("Nothing was changed. To skip the question: --yes");
    await restore(call, planned, signal);
    process.stdout.write("Restored.\n");
  }
  return 0;
}

async function confirmed(): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return (await terminal.question("Type yes to continue: ")) === "yes";
  } finally {
    terminal.close();
  }
}
