// The run: gathers what the checks need, tries them in parallel, judges each in one place, and cleans up.

import { isTransient, Transient, until } from "@mtls-everywhere/cluster-access";

import type { PlatformOutputs } from "../../outputs.ts";
import type { PlatformAccess } from "./access.ts";
import type { CertificateSource } from "./certificates.ts";
import { type Check, classify, expectedText, type Hop, isRight, type Observation, observedText } from "./check.ts";
import { adminChecks } from "./hops/admin.ts";
import { forwardingChecks } from "./hops/forwarding.ts";
import { gatewayChecks } from "./hops/gateway.ts";
import { storeChecks } from "./hops/store.ts";
import { upstreamChecks } from "./hops/upstream.ts";
import { gather } from "./material.ts";
import { type Served, servedCertificates } from "./served.ts";
import { settled } from "./settle.ts";
import { TemporaryObjects } from "./temporary.ts";

export interface Result {
  readonly hop: Hop;
  readonly case: string;
  readonly expected: string;
  readonly observed: string;
  readonly ok: boolean;
  /** Milliseconds that the case took, not counting the wait for what it needs. */
  readonly ms: number;
}

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

/** Milliseconds for one try of a check, and after which it is not retried. */
const deadline = 10_000;
/** Checks in parallel: each holds a port-forward or two open. */
const sideBySide = 6;

/** Tries every hop. Rejects if the checks cannot run at all: wrong cluster, or no right to read or to sign. */
export async function run({ outputs, access, certificates, onResult, onLeftover, ...run }: Run): Promise<Report> {
  const over = new AbortController();
  const signal = AbortSignal.any([run.signal, over.signal]);
  const tidy: (() => Promise<void>)[] = [];
  let judged: readonly { readonly result: Result; readonly observation: Observation }[];
  let served: readonly Served[];
  try {
    await access.expect(outputs.admin.cluster);
    tidy.push(() => certificates.remove());
    const { namespace } = outputs;
    const [material, restless] = await Promise.all([
      gather(outputs, access, certificates, signal),
      settled(access, { namespace, signal, onWaiting: run.onWaiting }),
    ]);
    if (restless.length > 0) run.onRestless?.(restless);
    const temporary = new TemporaryObjects(access, outputs.admin, material.adminKey);
    tidy.push(() => temporary.remove());
    temporary.removeLeftovers();

    const checks = [
      ...gatewayChecks(outputs, material, access),
      ...adminChecks(outputs, material, access),
      ...storeChecks(outputs, material, access),
      ...upstreamChecks(outputs, material, access),
      ...forwardingChecks(outputs, material, access, temporary),
    ];
    let done = 0;
    [judged, served] = await Promise.all([
      inParallel(checks, async (check) => {
        const tried = await attempt(check, signal);
        onResult?.(tried.result, ++done, checks.length);
        return tried;
      }),
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

/** Tries one check, retrying while tries prove nothing and time is left, and judges what was observed. */
export async function attempt(check: Check, signal: AbortSignal, within = deadline) {
  let start = performance.now();
  let observation: Observation = { kind: "failed", reason: "not tried" };
  try {
    await check.ready;
    start = performance.now();
    await until(
      async () => {
        try {
          observation = await before(within, signal, (both) => check.observe(both));
          return true;
        } catch (error) {
          // What a server says is final. A broken connection may have swallowed an alert, or its pod was leaving.
          observation = classify(error);
          return !isTransient(error);
        }
      },
      { within, signal },
    );
  } catch (error) {
    observation = classify(error);
  }
  const result: Result = {
    hop: check.hop,
    case: check.case,
    expected: expectedText(check.expect),
    observed: observedText(observation),
    ok: isRight(check.expect, observation),
    ms: Math.round(performance.now() - start),
  };
  return { result, observation };
}

/** Calls with a signal that also fires on time-out, and then settles even if the call does not. */
async function before<T>(ms: number, signal: AbortSignal, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(new Transient(`no answer within ${ms / 1000} s`)), ms);
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

/** Returns results in the order of the checks. Checks that have to wait take up no slot meanwhile. */
async function inParallel<R>(checks: readonly Check[], attemptOne: (check: Check) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = checks.map((check, index) => ({ check, index }));
  const now = queue.filter(({ check }) => check.ready === undefined);
  const later = queue.filter(({ check }) => check.ready !== undefined);
  const worker = async (own: typeof queue) => {
    for (let next = own.shift(); next; next = own.shift()) results[next.index] = await attemptOne(next.check);
  };
  await Promise.all([...Array.from({ length: sideBySide }, () => worker(now)), worker(later)]);
  return results;
}
