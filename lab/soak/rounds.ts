/** Rounds of renewals: every leaf at once, timing how long each listener takes to serve its new one. */
import { setTimeout as sleep } from "node:timers/promises";
import { load } from "./forms.ts";
import type { Hop, Scene } from "./scene.ts";
import type { LeafChange } from "./view.ts";

/** One leaf's way from its Secret to one listener. */
export interface Renewal {
  readonly hop: Hop;
  /** From the Secret's change to the first handshake; undefined if there was none in time. */
  readonly seconds?: number;
}

export interface Round {
  readonly renewals: readonly Renewal[];
  /** Leaves that cert-manager did not issue in time. */
  readonly unissued: readonly string[];
}

/** Milliseconds for cert-manager, then for the servers; both normally take seconds. */
const issuedWithin = 60_000;
export const servedWithin = 15_000;

export async function renewAll(scene: Scene, signal: AbortSignal): Promise<Round> {
  const { view } = scene;
  const leaves = await scene.leaves.list();
  const before = view.changes.length;
  await Promise.all(leaves.map((leaf) => scene.leaves.renew(leaf)));
  const changes = (): LeafChange[] => view.changes.slice(before);
  const unissued = () => leaves.filter(({ secret }) => !changes().some((change) => change.secret === secret));
  await until(() => unissued().length === 0, issuedWithin, signal);
  await until(() => scene.stale().length === 0, servedWithin, signal);
  const renewals = scene.listeners.flatMap((listener) => {
    const own = changes().filter(({ secret }) => secret === scene.secretOf(listener));
    return own.map((change): Renewal => ({ hop: scene.hopOf(listener), ...servedAfter(scene, listener, change) }));
  });
  await scene.load.call("use", load.kept);
  return { renewals, unissued: unissued().map(({ namespace, name }) => `${namespace}/${name}`) };
}

/** Settles when it holds or time is up. */
export async function until(holds: () => boolean, within: number, signal: AbortSignal): Promise<void> {
  for (const end = Date.now() + within; !holds() && Date.now() < end;) await sleep(50, undefined, { signal });
}

function servedAfter(scene: Scene, listener: string, { serial, at }: LeafChange): { seconds?: number } {
  const seen = scene.sightings.get(listener)?.find((sighting) => sighting.serial === serial);
  // The watch may deliver the Secret later than the server gets the leaf.
  return seen ? { seconds: Math.max(0, seen.at - at) / 1000 } : {};
}
