// Generations of roots: which are trusted, which one signs, and what each was created with and keeps.

import type { KeyAlgorithm } from "@mtls-everywhere/vocabulary/algorithms";
import * as pulumi from "@pulumi/pulumi";

import { firstValue } from "./firstValue.ts";

/** What a generation is created with, for good: a root cannot change. */
export interface Made {
  readonly kind: "cluster" | "stateHeld";
  readonly algorithm: KeyAlgorithm;
  /** Lifetime of its roots, such as `87600h`. */
  readonly rootDuration: string;
  readonly trustDomain: string;
}

/** One root of every plane, under a common name. */
export interface Generation extends Made {
  readonly name: string;
  /** Whether it signs the stack's leaves. */
  readonly active: boolean;
  /** Whether it is the first that the stack had: its objects' names carry no suffix. */
  readonly founder: boolean;
}

/** Which generations the configuration names. */
export interface NamedGenerations {
  /** The one that signs. */
  readonly active: string;
  /** All that are trusted, the active one among them. */
  readonly trusted: readonly string[];
}

/** The name of the stack's first generation: the active one of its first `up`. */
export async function founderOf(name: string, root: Pick<NamedGenerations, "active">): Promise<string> {
  return (await firstValue(`${name}-founder`, root.active)).value ?? root.active;
}

/**
 * The trusted generations. A new one is created with what the configuration says now; the others keep what they have.
 * @throws RunError before anything else is planned, when the configuration asks for what no trusted generation was created with.
 */
export async function keepGenerations(
  name: string,
  founder: string,
  root: NamedGenerations,
  wanted: Made,
): Promise<readonly Generation[]> {
  const generations: Generation[] = [];
  for (const generation of root.trusted) {
    const { value: made = wanted } = await firstValue(recordName(name, generation), wanted);
    generations.push({
      ...made,
      name: generation,
      active: generation === root.active,
      founder: generation === founder,
    });
  }
  const refusal = changeRefusal(generations, wanted);
  if (refusal !== undefined) throw new pulumi.RunError(refusal);
  return generations;
}

/** Name of the record of what a generation was created with. */
function recordName(name: string, generation: string): string {
  return `${name}-generation-${generation}`;
}

/** Whether a state's resource is such a record: state-held roots that outlive a cluster need theirs. */
export function recordsGenerations(urn: string): boolean {
  return /::[^:]+-(founder|generation-[^:]+)$/.test(urn);
}

/** Why the configuration cannot be met: what it asks for matches neither the active generation nor another trusted one. */
export function changeRefusal(generations: readonly Generation[], wanted: Made): string | undefined {
  const keys = Object.keys(keysOf) as (keyof Made)[];
  const differences = (made: Made) => keys.filter((key) => made[key] !== wanted[key]);
  if (generations.some((generation) => differences(generation).length === 0)) return undefined;
  const active = generations.find((generation) => generation.active)!;
  const changed = differences(active);
  const says = (made: Made) => changed.map((key) => `${keysOf[key]}: ${made[key]}`).join(", ");
  const trusted = [...generations.map(({ name }) => name), nameAfter(generations)];
  return (
    `The roots of generation "${active.name}" were created with ${says(active)}, but the configuration asks for ${says(wanted)}: a root cannot change.\n` +
    `Nothing was changed. Add a new generation along with the change, then run pulumi up: ` +
    `pki.root.active: "${active.name}", pki.root.trusted: ${JSON.stringify(trusted).replaceAll(",", ", ")}. ` +
    `The steps after that are in docs/rotation.md. Or restore ${says(active)}.`
  );
}

/** The configuration's key for each. */
const keysOf: Readonly<Record<keyof Made, string>> = {
  kind: "pki.root.kind",
  algorithm: "pki.algorithm",
  rootDuration: "pki.rootDuration",
  trustDomain: "trustDomain",
};

/** A name for the generation after these: the next number. */
export function nameAfter(generations: readonly { readonly name: string }[]): string {
  const numbers = generations.map(({ name }) => Number(name)).filter((number) => Number.isSafeInteger(number));
  return String(numbers.length > 0 ? Math.max(...numbers) + 1 : generations.length + 1);
}
