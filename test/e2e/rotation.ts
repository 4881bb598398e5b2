// A rotation of roots as done by a person: an edit, an update, a look at its status, and the check of every hop.

import { equal } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";

import { parse, stringify } from "yaml";

import { until } from "../../cluster-access/until.ts";
import type { Phase, Status } from "../../rotation/phase.ts";
import { type Finished, inLabFolder, must, run } from "./ownLab.ts";

type Config = Record<string, unknown>;

export class Rotation {
  readonly #file: string;

  /** Works on this file in the lab's folder, a copy of another. */
  constructor(file: string) {
    this.#file = inLabFolder(file);
  }

  /** A command's environment with this configuration. */
  get config(): Record<string, string> {
    return { PULUMI_OPTION_CONFIG_FILE: this.#file };
  }

  /** Edits the configuration: `pki` and, with a new generation, whatever else changes with it. */
  edit(from: string, pki: Config, more: Config = {}): void {
    const copy = parse(readFileSync(inLabFolder(from), "utf8")) as { config: Config };
    copy.config["mtls-everywhere:pki"] = pki;
    Object.assign(copy.config, more);
    writeFileSync(this.#file, stringify(copy));
  }

  up(): Promise<Finished> {
    return run("pulumi", ["up", "--yes", "--skip-preview"], this.config);
  }

  preview(): Promise<Finished> {
    return run("pulumi", ["preview"], this.config);
  }

  /** Runs an update, which must succeed, as must every check; then the rotation must reach this phase. */
  async goesTo(phase: Phase): Promise<Status> {
    const { code, output } = await this.up();
    equal(code, 0, output);
    const verified = await run(process.execPath, ["tools/verify/cli.ts"]);
    equal(verified.code, 0, verified.output);
    // Files follow their Secrets at the kubelet's pace.
    let last: Status | undefined;
    const reached = await until(
      async () => {
        last = JSON.parse(await must(process.execPath, ["tools/rotate/cli.ts", "status", "--json"])) as Status;
        return last.phase === phase && last;
      },
      { within: 90_000, pause: 2_000 },
    );
    if (!reached) throw new Error(`The rotation is at ${last?.phase}, waiting for:\n${last?.waitsFor.join("\n")}`);
    return reached;
  }
}
