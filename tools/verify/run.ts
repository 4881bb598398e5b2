// The run: gathers what the checks need, tries all lines at once, and cleans up.

import type { PlatformOutputs } from "../../outputs.ts";
import type { PlatformAccess } from "./access.ts";
import type { CertificateSource } from "./certificates.ts";
import { Judge, type Judged, type Result } from "./judge.ts";
import { Leaves } from "./leaves.ts";
import { gather } from "./material.ts";
import { linesOf } from "./matrix/lines.ts";
import { type Served, servedCertificates } from "./served.ts";
import { settled } from "./settle.ts";
import { runName, Stage } from "./stage.ts";
import { TemporaryObjects } from "./temporary.ts";

export type { Result, Verdict } from "./judge.ts";

export interface Report {
  readonly stack?: string;
  readonly checks: readonly Result[];
  /** What each server serves, per pod. */
  readonly served: readonly Served[];
  /** True if no check and no served certificate is wrong. */
  readonly ok: boolean;
  /** What the gateway answered to the right certificate; empty if nothing. */
  readonly body: string;
}

export interface Run {
  readonly outputs: PlatformOutputs;
  readonly access: PlatformAccess;
  readonly certificates: CertificateSource;
  /** Ends the run early; what was created is still removed. */
  readonly signal: AbortSignal;
  /** Called with what the run waits for while the platform rolls out. */
  readonly onWaiting?: (reasons: readonly string[]) => void;
  /** Called with what has not finished rolling out in time; it is checked as it is. */
  readonly onRestless?: (reasons: readonly string[]) => void;
  /** Called after each check. */
  readonly onResult?: (result: Result, done: number, total: number) => void;
  /** Called with what could not be removed. */
  readonly onLeftover?: (reason: string) => void;
}

/** Checks in parallel: each holds a port-forward or two open. */
const sideBySide = 12;

/** Tries every hop. Rejects if the checks cannot run at all: wrong cluster, or no right to read or to sign. */
export async function run({ outputs, access, certificates, onResult, onLeftover, ...run }: Run): Promise<Report> {
  const over = new AbortController();
  const signal = AbortSignal.any([run.signal, over.signal]);
  const tidy: (() => Promise<void>)[] = [];
  let judged: readonly Judged[];
  let served: readonly Served[];
  try {
    await access.expect(outputs.admin.cluster);
    tidy.push(() => certificates.remove());
    const { namespace } = outputs;
    const name = runName();
    const [material, restless] = await Promise.all([
      gather(outputs, access, new Leaves(outputs, certificates, name, signal)),
      settled(access, { namespace, signal, onWaiting: run.onWaiting }),
    ]);
    if (restless.length > 0) run.onRestless?.(restless);
    const temporary = new TemporaryObjects(access, outputs.admin, material.adminKey, name);
    tidy.push(() => temporary.remove());
    temporary.removeLeftovers();

    const lines = linesOf(outputs);
    const scene = { access, material, stage: new Stage(outputs, material, temporary) };
    const judge = new Judge(scene, signal, sideBySide);
    let done = 0;
    [judged, served] = await Promise.all([
      Promise.all(
        lines.map(async (line) => {
          const one = await judge.judge(line);
          onResult?.(one.result, ++done, lines.length);
          return one;
        }),
      ),
      servedCertificates(outputs, material, access, signal),
    ]);
    signal.throwIfAborted();
  } finally {
    over.abort(new Error("the run is over"));
    for (const removal of await Promise.allSettled(tidy.map((remove) => remove()))) {
      if (removal.status === "rejected") onLeftover?.((removal.reason as Error).message);
    }
  }
  const results = judged.map(({ result }) => result);
  const scene = judged[0]?.observation;
  return {
    checks: results,
    served,
    ok: results.every(({ ok }) => ok) && served.every(({ verdict }) => verdict !== "wrong"),
    body: scene?.kind === "answer" && scene.status === 200 ? scene.body : "",
  };
}
