/** A row of a table of proofs: something to do to a running platform, and what must follow. */
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import { errorsOf, type Finished, wrongIn } from "../soak/platform.ts";

/** A running platform, as a person's commands see it. */
export interface RunningPlatform {
  readonly cluster: Cluster;
  /** Folder of its lab. */
  readonly lab: string;
  /** File of its stack's configuration. */
  readonly settings: string;
  /** Runs a command in the checkout with the settings of the platform's lab, whether or not it succeeds. */
  run(program: string, args: readonly string[]): Promise<Finished>;
}

/** What followed. */
export interface Seen {
  /** Such as `makes Secret apisix-env`; or the words in which it was refused. */
  readonly changes: readonly string[] | { readonly refused: string };
  /** What clients noticed, if that is part of the table. */
  readonly traffic?: string;
  /** How long it took. */
  readonly seconds: number;
}

export interface Row {
  /** Its name in the table, under which its result is kept. */
  readonly name: string;
  /** The only object that it changes, such as `Secret apisix-env`, if it may be proved together with others. */
  readonly own?: string;
  /** Does something to the platform. */
  act(platform: RunningPlatform): Promise<void>;
  /** Checks what follows. Throws what is wrong. */
  expect(platform: RunningPlatform): Promise<Seen>;
}

/** Runs a command that must succeed; returns what it printed. */
export async function must(platform: RunningPlatform, program: string, ...args: string[]): Promise<string> {
  const { code, stdout, output } = await platform.run(program, args);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${errorsOf(output)}`);
  return stdout;
}

/** Verifies every hop. Throws what is wrong. */
export async function verified(platform: RunningPlatform): Promise<void> {
  const { code, stdout, output } = await platform.run(process.execPath, ["tools/verify/cli.ts", "--json"]);
  if (code === 0) return;
  throw new Error(`verify: ${code === 1 && stdout.startsWith("{") ? wrongIn(stdout) : errorsOf(output)}`);
}
