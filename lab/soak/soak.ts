/** The soak: load, writes and observation on each platform of its form, while leaves renew and roots rotate. */
import { setTimeout as sleep } from "node:timers/promises";
import { CoreV1Api } from "@kubernetes/client-node";
import { processTable, usageOf } from "./containers.ts";
import { firstOf, nextOf, type Form, type PlatformForm } from "./forms.ts";
import { compareHandshakes, type Handshakes } from "./handshakes.ts";
import type { ArrivalNumbers } from "./newConnections.ts";
import type { KeptNumbers } from "./keptAlive.ts";
import { pass, type Passage, settledWithin } from "./passage.ts";
import { Platform } from "./platform.ts";
import { renewAll, type Round } from "./rounds.ts";
import { Scene } from "./scene.ts";
import { steady, type Steady } from "./steady.ts";
import type { Failure, Numbers } from "./tally.ts";
import { Timeline } from "./timeline.ts";
import type { WriteNumbers } from "./writes.ts";

export interface PlatformResult {
  readonly name: string;
  readonly form: PlatformForm;
  /** Seconds. */
  readonly kubeletSync: number;
  readonly arrivals: Placed<ArrivalNumbers>;
  readonly kept: Placed<KeptNumbers>;
  readonly writes: Placed<WriteNumbers>;
  readonly rounds: readonly Round[];
  /** Processes that did not survive the leaves' renewals, and restart counts that changed. */
  readonly unsettled: readonly string[];
  readonly passages: readonly Passage[];
  readonly steady?: Steady;
  /** What the renewer's containers use while nothing is renewed; empty without a renewer. */
  readonly renewers: readonly { readonly workingSet: number; readonly cpu: number }[];
}

/** Numbers whose first failures name the step in which they happened. */
export type Placed<N extends Numbers> = Omit<N, "first"> & {
  readonly first: readonly (Failure & { readonly step: string })[];
};

export interface SoakResult {
  readonly form: Form["name"];
  readonly began: string;
  readonly minutes: number;
  readonly platforms: readonly PlatformResult[];
  readonly handshakes?: Handshakes;
}

export interface Running {
  readonly progress: (line: string) => void;
  readonly signal: AbortSignal;
  /** Leave the last lab running at the end. */
  readonly keep: boolean;
}

/** Rejects if it cannot run at all; what goes wrong under load is in the result. */
export async function soak(form: Form, { progress, signal, keep }: Running): Promise<SoakResult> {
  const began = new Date();
  const timeline = new Timeline(progress);
  const platforms: PlatformResult[] = [];
  for (const [index, platform] of form.platforms.entries()) {
    const isLast = index === form.platforms.length - 1;
    platforms.push(await onPlatform(form, platform, { timeline, signal, isLast, keep: keep && isLast }));
  }
  const handshakes = form.handshakes
    ? await timeline.step("nginx's handshakes with and without live leaves", () => compareHandshakes(signal))
    : undefined;
  const minutes = (Date.now() - began.getTime()) / 60_000;
  const result = { form: form.name, began: began.toISOString(), minutes, platforms };
  return { ...result, ...(handshakes ? { handshakes } : {}) };
}

interface Conditions {
  readonly timeline: Timeline;
  readonly signal: AbortSignal;
  readonly isLast: boolean;
  readonly keep: boolean;
}

async function onPlatform(form: Form, own: PlatformForm, conditions: Conditions): Promise<PlatformResult> {
  const { timeline, signal, keep } = conditions;
  const name = `${own.root} roots, ${own.members} etcd ${own.members === 1 ? "member" : "members"}`;
  const platform = await timeline.step(`start a lab for ${name}`, () => Platform.start(own, signal));
  try {
    const made = await timeline.step("pulumi up", () => platform.up(platform.wantedFirst()));
    if (made.problem !== undefined) throw new Error(`The platform did not come up: pulumi up ${made.problem}`);
    const outputs = await platform.outputs();
    const scene = await timeline.step("start the load", async () =>
      Scene.start(platform, outputs, await serviceAddress(platform, outputs.gateway.service)),
    );
    try {
      return { name, form: own, ...(await onScene(form, scene, conditions)) };
    } finally {
      await scene.stop();
    }
  } finally {
    if (keep) timeline.say(`kept: LAB_DIR=${platform.lab} make env; LAB_DIR=${platform.lab} make down`);
    else await timeline.step("stop the lab", () => platform.stop());
  }
}

async function onScene(
  form: Form,
  scene: Scene,
  { timeline, signal, isLast }: Conditions,
): Promise<Omit<PlatformResult, "name" | "form">> {
  const { platform } = scene;
  const renewers = await timeline.step("idle", () => idleUsage(scene, signal));
  const rounds: Round[] = [];
  const unsettled: string[] = [];
  const passages: Passage[] = [];
  let generation = firstOf[platform.form.root];
  for (const gateways of platform.form.gateways) {
    if (gateways !== platform.form.gateways[0]) {
      const roots = { kind: platform.form.root, active: generation, trusted: [generation] };
      const scaled = await timeline.step(`${gateways} gateway pods`, () => platform.up({ roots, gateways }));
      if (scaled.problem !== undefined) throw new Error(`${gateways} gateway pods: pulumi up ${scaled.problem}`);
      await scene.load.call("leave"); // so that the new ones spread over all pods
    }
    await scene.view.settled(settledWithin, signal); // old pods are still terminating
    const before = processTable(scene.view.pods());
    for (let round = 1; round <= form.rounds; round++)
      rounds.push(await timeline.step(`every leaf renews, ${round} of ${form.rounds}`, () => renewAll(scene, signal)));
    unsettled.push(...changed(before, processTable(scene.view.pods())));
    const passage = await pass(scene, { from: generation, gateways, verify: form.verify }, timeline, signal);
    passages.push(passage);
    if (passage.withdrawn === undefined) break; // the rest depends on it
    generation = nextOf(generation);
  }
  const daily =
    form.steady && isLast
      ? await timeline.step("daily use", () => steady(scene, form.steady!, timeline, signal))
      : undefined;
  await scene.load.call("stop");
  await scene.writes.stop();
  const { arrivals, kept } = await scene.load.call("numbers");
  const placed = <N extends Numbers>(numbers: N): Placed<N> => ({
    ...numbers,
    first: numbers.first.map((failure) => ({ ...failure, step: timeline.at(failure.at) })),
  });
  return {
    kubeletSync: await platform.kubeletSync(),
    arrivals: placed(arrivals),
    kept: placed(kept),
    writes: placed(scene.writes.numbers),
    ...{ rounds, unsettled, passages, renewers },
    ...(daily ? { steady: daily } : {}),
  };
}

/** Milliseconds over which an idle renewer is measured. */
const idleFor = 10_000;

async function idleUsage(scene: Scene, signal: AbortSignal): Promise<PlatformResult["renewers"]> {
  const gateways = () => scene.view.pods(scene.outputs.gateway.selector);
  const before = usageOf(gateways(), "renewer");
  if (before.size === 0) return [];
  const start = performance.now();
  await sleep(idleFor, undefined, { signal });
  const seconds = (performance.now() - start) / 1000;
  return [...usageOf(gateways(), "renewer")].map(([pod, { workingSet, cpu }]) => ({
    workingSet,
    cpu: (cpu - (before.get(pod)?.cpu ?? 0)) / seconds,
  }));
}

async function serviceAddress(platform: Platform, service: { namespace: string; name: string }): Promise<string> {
  const { spec } = await platform.cluster.config.makeApiClient(CoreV1Api).readNamespacedService(service);
  return spec?.clusterIP ?? "";
}

/** Lines that are in only one of the two. */
function changed(before: readonly string[], after: readonly string[]): string[] {
  return [
    ...before.filter((line) => !after.includes(line)).map((line) => `before: ${line}`),
    ...after.filter((line) => !before.includes(line)).map((line) => `after: ${line}`),
  ];
}
