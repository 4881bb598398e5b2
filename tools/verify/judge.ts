// Tries one line of the report at every ready pod, retrying what proves nothing, and judges what was observed.

import { isTransient, Transient, until } from "@mtls-everywhere/cluster-access";
import type { OnePodPort, PodPort } from "@mtls-everywhere/vocabulary/references";

import {
  type Check,
  classify,
  expectedText,
  type Hop,
  isRight,
  type Line,
  type Observation,
  observedText,
} from "./check.ts";
import type { Scene } from "./scene.ts";
import { Uncheckable } from "./unchecked.ts";

export type Verdict = "right" | "wrong" | "not checked";

export interface Result {
  readonly hop: Hop;
  readonly case: string;
  /** The threat of docs/threat-model.md that it stands for, such as `T3`. */
  readonly threat: string;
  readonly expected: string;
  /** What every pod showed; by pod, where they differ. */
  readonly observed: string;
  readonly verdict: Verdict;
  /** Why it was not checked, as a sentence. */
  readonly why?: string;
  /** False only if it is wrong. */
  readonly ok: boolean;
  /** Milliseconds that the case took at the slowest pod, not counting the wait for what it needs. */
  readonly ms: number;
}

/** A result, and what the first pod showed. */
export interface Judged {
  readonly result: Result;
  readonly observation?: Observation;
}

/** What one pod showed. */
export interface Tried {
  readonly pod: string;
  readonly observation: Observation;
  readonly ms: number;
}

/** Milliseconds for one try of a check, and after which it is not retried. */
const deadline = 10_000;

/** Tries lines, so many at a time: each holds a port-forward or two open. */
export class Judge {
  readonly #scene: Scene;
  readonly #signal: AbortSignal;
  readonly #slots: Slots;
  readonly #pods = new Map<string, Promise<readonly string[]>>();

  constructor(scene: Scene, signal: AbortSignal, sideBySide: number) {
    [this.#scene, this.#signal, this.#slots] = [scene, signal, new Slots(sideBySide)];
  }

  async judge(line: Line): Promise<Judged> {
    if ("why" in line) return { result: unchecked(line, line.why) };
    try {
      const tried = await this.#tryAt(line);
      return { result: resultOf(line, tried), observation: tried[0]!.observation };
    } catch (error) {
      if (error instanceof Uncheckable) return { result: unchecked(line, error.message) };
      throw error;
    }
  }

  async #tryAt(check: Check): Promise<readonly Tried[]> {
    let pods: readonly string[];
    try {
      [pods] = await Promise.all([this.#readyPods(check.at), check.ready?.(this.#scene)]);
    } catch (error) {
      if (error instanceof Uncheckable) throw error;
      return [{ pod: "", observation: classify(error), ms: 0 }];
    }
    const tryAt = (pod: string) =>
      this.#slots.use(() => attempt(check, this.#scene, { ...check.at, pod }, this.#signal));
    const tried = await Promise.all(pods.map(tryAt));
    if (tried.every(({ observation }) => observation.kind !== "failed")) return tried;
    // A pod that has left in the meantime serves nobody.
    const { namespace, selector } = check.at;
    const left = await this.#scene.access.readyPods(namespace, selector).catch(() => pods);
    const staying = tried.filter(({ pod, observation }) => observation.kind !== "failed" || left.includes(pod));
    return staying.length > 0 ? staying : tried;
  }

  /** The pods that are ready when the first line needs them. */
  #readyPods({ namespace, selector }: PodPort): Promise<readonly string[]> {
    const key = `${namespace}/${selector}`;
    const pods = this.#pods.get(key) ?? this.#someReady(namespace, selector);
    this.#pods.set(key, pods);
    return pods;
  }

  async #someReady(namespace: string, selector: string): Promise<readonly string[]> {
    let last: unknown;
    const look = async () => {
      try {
        return await this.#scene.access.readyPods(namespace, selector);
      } catch (error) {
        if (!isTransient(error)) throw error;
        last = error;
        return undefined;
      }
    };
    const pods = await until(look, { within: deadline, signal: this.#signal });
    if (pods === undefined) throw last;
    return pods;
  }
}

/** Tries one check at one pod, retrying while tries prove nothing and time is left. */
export async function attempt(
  check: Pick<Check, "observe">,
  scene: Scene,
  at: OnePodPort,
  signal: AbortSignal,
  within = deadline,
): Promise<Tried> {
  const start = performance.now();
  let observation: Observation = { kind: "failed", reason: "not tried" };
  const look = async () => {
    try {
      observation = await before(within, signal, (both) => check.observe(scene, at, both));
      return true;
    } catch (error) {
      if (error instanceof Uncheckable) throw error;
      // What a server says is final. A broken connection may have swallowed an alert, or its pod was leaving.
      observation = classify(error);
      return !isTransient(error) || error instanceof NoAnswer;
    }
  };
  try {
    await until(look, { within, signal });
  } catch (error) {
    if (error instanceof Uncheckable) throw error;
    observation = classify(error);
  }
  return { pod: at.pod ?? "", observation, ms: Math.round(performance.now() - start) };
}

/** What the pods showed, judged: each must be right. */
export function resultOf({ hop, case: name, threat, expect }: Check, tried: readonly Tried[]): Result {
  const texts = new Set(tried.map(({ observation }) => observedText(observation)));
  const ok = tried.every(({ observation }) => isRight(expect, observation));
  return {
    ...{ hop, case: name, threat, expected: expectedText(expect) },
    observed:
      texts.size === 1
        ? [...texts].join()
        : tried.map(({ pod, observation }) => `${pod}: ${observedText(observation)}`).join("; "),
    ...{ verdict: ok ? "right" : "wrong", ok },
    ms: Math.max(...tried.map(({ ms }) => ms)),
  };
}

function unchecked({ hop, case: name, threat }: Line, why: string): Result {
  return { hop, case: name, threat, expected: "", observed: "", verdict: "not checked", why, ok: true, ms: 0 };
}

/** A try took all the time there is. */
class NoAnswer extends Transient {}

/** Calls with a signal that also fires on time-out, and then settles even if the call does not. */
async function before<T>(ms: number, signal: AbortSignal, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(new NoAnswer(`no answer within ${ms / 1000} s`)), ms);
  const interrupted = () => end.abort(signal.reason);
  signal.addEventListener("abort", interrupted);
  if (signal.aborted) interrupted();
  try {
    return await new Promise<T>((resolve, reject) => {
      end.signal.addEventListener("abort", () => reject(end.signal.reason as Error));
      call(end.signal).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", interrupted);
  }
}

/** So many calls at a time, in the order in which they came. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(size: number) {
    this.#free = size;
  }

  async use<T>(call: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((next) => this.#waiting.push(next));
    else this.#free -= 1;
    try {
      return await call();
    } finally {
      // The slot passes to the next in line, or is free again.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
