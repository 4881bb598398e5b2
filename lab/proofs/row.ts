/** A table of proofs, row by row: something is done to a running platform, and what must follow is looked for. */
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import { errorsOf, type Finished, wrongIn } from "../soak/platform.ts";

/** A platform that is up, as commands of a person reach it. */
export interface RunningPlatform {
  readonly cluster: Cluster;
  /** Runs a command in the checkout with the settings of the platform's lab, however it ends. */
  run(program: string, args: readonly string[]): Promise<Finished>;
}

/** What followed. */
export interface Seen {
  /** Such as `makes Secret apisix-env`. */
  readonly changes: readonly string[];
  /** What it took. */
  readonly seconds: number;
}

export interface Row {
  /** As the table has it; its result is kept by this. */
  readonly name: string;
  /** How its changes end, such as `Secret apisix-env`, where it may be done together with others: it changes nothing else. */
  readonly own?: string;
  /** What is done to the platform. */
  act(platform: RunningPlatform): Promise<void>;
  /** What must follow. Throws what is wrong. */
  expect(platform: RunningPlatform): Promise<Seen>;
}

/** A command that must succeed; gives what it printed. */
export async function must(platform: RunningPlatform, program: string, ...args: string[]): Promise<string> {
  const { code, stdout, output } = await platform.run(program, args);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${errorsOf(output)}`);
  return stdout;
}

/** The check of every hop. Throws what is wrong. */
export async function verified(platform: RunningPlatform): Promise<void> {
  const { code, stdout, output } = await platform.run(process.execPath, ["tools/verify/cli.ts", "--json"]);
  if (code === 0) return;
  throw new Error(`verify: ${code === 1 && stdout.startsWith("{") ? wrongIn(stdout) : errorsOf(output)}`);
}
