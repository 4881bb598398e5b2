// Where a rotation stands and what comes next, judged only by what is live.

import { type Plane, planes } from "@mtls-everywhere/vocabulary/planes";

import { nameAfter } from "../components/generations.ts";
import { generationsIn, isOurs, type Live } from "./live.ts";
import { lacking, stillNeeding, type Wanted } from "./plan.ts";

/** The phases, each as the sentence that the next step begins with. */
export type Phase =
  /** One generation, which signs. */
  | "settled"
  /** A newer one is trusted; the status names who lacks its root. */
  | "preparing"
  /** Everybody has the newer one's root: it may become active. */
  | "prepared"
  /** The newest signs; the status names who still needs an older one. */
  | "activated"
  /** Nobody needs the older ones: they may be retired. */
  | "retirable";

export interface Status {
  readonly phase: Phase;
  /** Generations that the platform's own leaves are issued by: one, or several halfway through an update. */
  readonly signing: readonly string[];
  readonly planes: readonly PlaneStatus[];
  /** Who holds up the end of the phase. */
  readonly waitsFor: readonly string[];
  /** Bundles of other owners that still trust what this stack has retired. */
  readonly outdated: readonly string[];
  /** What to put into the configuration next; absent while the phase waits for others. */
  readonly next?: Wanted;
}

export interface PlaneStatus {
  readonly plane: Plane;
  readonly generations: readonly GenerationStatus[];
}

export interface GenerationStatus {
  readonly name: string;
  /** SHA-256 of its roots: one, unless a lost one was recreated. */
  readonly roots: readonly string[];
  /** Whether the platform's own leaves of this plane name its issuer. */
  readonly signs: boolean;
  /** `namespace/name` of the bundles and pods that trust it, and of those that do not. */
  readonly trusting: readonly string[];
  readonly lacking: readonly string[];
  /** Leaves of it, as `namespace/name`. */
  readonly leaves: readonly string[];
  /** Servers that serve one, as `namespace/pod:port`. */
  readonly servers: readonly string[];
}

/**
 * The status of a platform in this namespace.
 * @param since When each generation's roots begin: the newest is the one to change to.
 */
export function statusOf(live: Live, namespace: string, since: Readonly<Record<string, Date>>): Status {
  const names = generationsIn(live.roots).sort((one, other) => Number(since[one]) - Number(since[other]));
  const own = live.leaves.filter((leaf) => leaf.namespace === namespace);
  const signing = names.filter((name) => own.some(({ wanted }) => wanted === name));
  const newest = names.at(-1);
  const common = {
    signing,
    planes: planes.map((plane) => planeStatus(live, plane, names, own)),
    outdated: outdated(live),
  };
  if (newest === undefined || names.length === 1) {
    const trusted = [...names, nameAfter(names.map((name) => ({ name })))];
    return { ...common, phase: "settled", waitsFor: [], ...(newest ? { next: { active: newest, trusted } } : {}) };
  }
  if (!signing.includes(newest)) {
    const waitsFor = lacking(live, newest);
    return waitsFor.length > 0
      ? { ...common, phase: "preparing", waitsFor }
      : { ...common, phase: "prepared", waitsFor, next: { active: newest, trusted: names } };
  }
  const waitsFor = stillNeeding(live, names.slice(0, -1), newest);
  return waitsFor.length > 0
    ? { ...common, phase: "activated", waitsFor }
    : { ...common, phase: "retirable", waitsFor, next: { active: newest, trusted: [newest] } };
}

function planeStatus(live: Live, plane: Plane, names: readonly string[], platforms: Live["leaves"]): PlaneStatus {
  const trusters = [
    ...live.bundles
      .filter((bundle) => bundle.plane === plane)
      .map(({ namespace, name, roots }) => ({ holder: `${namespace}/${name}`, roots })),
    ...live.pods.flatMap(({ namespace, name, started }) =>
      started?.[plane] ? [{ holder: `${namespace}/${name}`, roots: started[plane] }] : [],
    ),
  ].filter(({ roots }) => isOurs(plane, roots, live.roots));
  const of = (name: string): GenerationStatus[] => {
    const own = live.roots[plane]?.[name];
    if (own === undefined) return [];
    const trusts = ({ roots }: { readonly roots: readonly string[] }) => own.every((root) => roots.includes(root));
    return [
      {
        name,
        roots: own,
        signs: platforms.some((leaf) => leaf.plane === plane && leaf.wanted === name),
        trusting: trusters.filter(trusts).map(({ holder }) => holder),
        lacking: trusters.filter((one) => !trusts(one)).map(({ holder }) => holder),
        leaves: live.leaves
          .filter((leaf) => leaf.plane === plane && (leaf.issued ?? leaf.wanted) === name)
          .map(({ namespace, name }) => `${namespace}/${name}`),
        servers: live.servers
          .filter((server) => server.plane === plane && server.generation === name)
          .map(({ namespace, pod, port }) => `${namespace}/${pod}:${port}`),
      },
    ];
  };
  return { plane, generations: names.flatMap(of) };
}

function outdated({ bundles, roots }: Live): string[] {
  return bundles
    .filter(({ plane, roots: digests }) => isOurs(plane, digests, roots))
    .filter(({ plane, roots: digests }) => digests.some((digest) => !isOurs(plane, [digest], roots)))
    .map(
      ({ namespace, name, plane }) =>
        `ConfigMap ${namespace}/${name} has a root of the ${plane} plane that is not trusted here`,
    );
}
