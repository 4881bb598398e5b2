/** A rotation of roots under load: prepare, activate, retire, and then what becomes of everything that the old root signed. */
import { setTimeout as sleep } from "node:timers/promises";
import { limits, load, phases, rootsIn, type Phase } from "./forms.ts";
import type { Outcome } from "./platform.ts";
import { oldPairsOf, refusalsOf, type OldPairs } from "./refusals.ts";
import { servedWithin, until } from "./rounds.ts";
import type { Scene } from "./scene.ts";
import type { Timeline } from "./timeline.ts";

export interface PhaseResult {
  readonly phase: Phase;
  readonly outcome: Outcome;
  /** Listeners that did not end up serving their Secret's leaf. */
  readonly stale: readonly string[];
  readonly verified?: Outcome;
}

export interface Passage {
  readonly name: string;
  /** As far as it got. */
  readonly phases: readonly PhaseResult[];
  readonly withdrawn?: {
    /** Seconds from the end of the retirement to the last response on a connection of the old root; negative if before. */
    readonly lastAnswer: number;
    /** Connections of the old root that still answer. */
    readonly open: number;
    /** What each server says to what the old root signed, by what was tried. */
    readonly said: Readonly<Record<string, string>>;
  };
}

export interface Order {
  /** The generation that signs now. */
  readonly from: string;
  readonly gateways: number;
  readonly verify: boolean;
}

/** Milliseconds for old pods to terminate and new ones to become ready. */
export const settledWithin = 60_000;

export async function pass(scene: Scene, order: Order, timeline: Timeline, signal: AbortSignal): Promise<Passage> {
  const name = `${order.gateways} gateway ${order.gateways === 1 ? "pod" : "pods"}`;
  const old = oldPairsOf(scene);
  const done: PhaseResult[] = [];
  for (const phase of phases) {
    if (phase === "retire")
      await scene.load.call("openOld", scene.target, { ...scene.credentials(), ...old.edge }, load.old);
    const result = await timeline.step(`${phase}, ${name}`, () => enter(scene, phase, order, signal));
    const verified = order.verify
      ? await timeline.step(`verify after ${phase}, ${name}`, () => scene.platform.verify())
      : undefined;
    done.push({ ...result, ...(verified ? { verified } : {}) });
    if (result.outcome.problem !== undefined) break;
  }
  const whole = done.length === phases.length && done.every(({ outcome }) => outcome.problem === undefined);
  const withdrawn = whole
    ? { withdrawn: await timeline.step(`what was withdrawn, ${name}`, () => whatBecomesOf(scene, old, signal)) }
    : {};
  if (done.length === phases.length) await scene.load.call("closeOld");
  return { name, phases: done, ...withdrawn };
}

async function enter(scene: Scene, phase: Phase, order: Order, signal: AbortSignal): Promise<PhaseResult> {
  await scene.load.call("leaving", true);
  const roots = rootsIn(phase, scene.platform.form.root, order.from);
  const outcome = await scene.platform.up({ roots, gateways: order.gateways });
  if (outcome.problem === undefined) await scene.followIssuer();
  await scene.view.settled(settledWithin, signal);
  await scene.load.call("leaving", false);
  await until(() => scene.stale().length === 0, servedWithin, signal);
  await scene.load.call("use", load.kept);
  return { phase, outcome, stale: scene.stale() };
}

async function whatBecomesOf(scene: Scene, old: OldPairs, signal: AbortSignal): Promise<Passage["withdrawn"]> {
  const retired = Date.now();
  const bound = (limits.connection.age + limits.connection.idle) * 1000;
  let state = await scene.load.call("oldState");
  for (; state.open > 0 && Date.now() < retired + bound + 10_000; state = await scene.load.call("oldState"))
    await sleep(1000, undefined, { signal });
  const { ca } = scene.credentials();
  return {
    lastAnswer: (state.lastAnswer - retired) / 1000,
    open: state.open,
    said: { ...(await scene.load.call("tryOld", ca)), ...(await refusalsOf(scene, old)) },
  };
}
