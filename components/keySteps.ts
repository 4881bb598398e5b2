// Decides whether the keys may be changed so in one update: what runs must go on until the last pod has rolled.

import type { SealedObject } from "@mtls-everywhere/apisix-admin";

import { inUse, type KeyNames } from "./keyNames.ts";

/** A gateway pod that runs, and what it was started with. */
export interface RunningPod {
  readonly name: string;
  readonly keys: KeyNames;
  /** Since when it is ready, in milliseconds; undefined while it is not. */
  readonly readySince?: number | undefined;
}

/** What speaks against the change, one sentence for each list; nothing where no other step must come first. */
export function keyFaults(running: readonly RunningPod[], wanted: KeyNames): string[] {
  return rules.flatMap((rule) => fault(rule, running, wanted));
}

/** Names of the keyring that a pod has and the configuration has no more: nothing may need them. */
export function droppedFromKeyring(running: readonly RunningPod[], wanted: KeyNames): string[] {
  const held = new Set(running.flatMap(({ keys }) => keys.keyring));
  return [...held].filter((name) => !wanted.keyring.includes(name));
}

/** What speaks against dropping them: objects that are sealed with one, or of which nobody knows. */
export function sealFaults(
  dropped: readonly string[],
  objects: readonly SealedObject[],
  running: readonly RunningPod[],
  wanted: KeyNames,
): string[] {
  // The server seals with the first key: what was written since all pods have it needs no label.
  const ready = running.map(({ readySince }) => readySince);
  const since = ready.every((time) => time !== undefined) ? Math.max(...ready) : Infinity;
  const needing = objects.filter(({ key, written = 0 }) =>
    key === undefined ? written < since : dropped.includes(key),
  );
  if (needing.length === 0) return [];
  const names = needing.map(({ object, owner = "nobody" }) => `${object} of ${owner}`);
  const keys = dropped.map((name) => JSON.stringify(name)).join(" and ");
  return [
    `apisix.keyring: ${keys} has left the list, but objects in the gateway are sealed with it, or may be: ${names.join(", ")}. ` +
      `Put it back, ${listed([...wanted.keyring, ...dropped])}. ` +
      "To seal an object anew run pulumi up in the stack that owns it; PUT one of nobody again, with the label mtls-everywhere.sealed as the output admin.sealedBy has it. " +
      "Then drop the key.",
  ];
}

interface Rule {
  readonly list: keyof KeyNames;
  readonly key: string;
  /** What a pod does that was started without the new first key; a list without this takes a new one first at once. */
  readonly without?: string;
  /** What a pod does with the key in use. */
  readonly uses: string;
  /** Who must follow before the former one may leave. */
  readonly update: string;
}

const rules: readonly Rule[] = [
  {
    list: "keyring",
    key: "apisix.keyring",
    without: "could not open what it seals",
    uses: "seals with it",
    update: "run pulumi up",
  },
  {
    list: "adminKeys",
    key: "apisix.adminKeys",
    without: "would refuse it",
    uses: "has it first, and other stacks use it",
    update: "run pulumi up here and in the stacks that use this gateway",
  },
  { list: "users", key: "etcd.users", uses: "is signed in to etcd as it", update: "run pulumi up" },
];

function fault(rule: Rule, running: readonly RunningPod[], wanted: KeyNames): string[] {
  const { list, key, without, uses, update } = rule;
  const names = wanted[list];
  const first = inUse(names);
  const lacking = running.find(({ keys }) => !keys[list].includes(first));
  if (without !== undefined && lacking) {
    const appended = listed([...lacking.keys[list], first]);
    return [
      `${key}: "${first}" comes first, but pod ${lacking.name} runs without it and ${without}. ` +
        `Append it, ${appended}, and run pulumi up; then move it first.`,
    ];
  }
  const using = running.find(({ keys }) => !names.includes(inUse(keys[list])));
  if (!using) return [];
  const used = inUse(using.keys[list]);
  return [
    `${key}: "${used}" has left the list, but pod ${using.name} ${uses}. ` +
      `Put it back, ${listed([...names, used])}, and ${update}; then drop it.`,
  ];
}

/** A list as it is written in the configuration. */
function listed(names: readonly string[]): string {
  return `[${names.map((name) => JSON.stringify(name)).join(", ")}]`;
}
