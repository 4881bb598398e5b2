// Decides whether one update may change the keys like this: everything must keep working until the last pod has rolled.

import type { SealedObject } from "@mtls-everywhere/apisix-admin";

import { inUse, type KeyNames } from "./keyNames.ts";

/** A gateway pod that runs, and what it was started with. */
export interface RunningPod {
  readonly name: string;
  readonly keys: KeyNames;
  /** Since when it is ready, in milliseconds; undefined while it is not. */
  readonly readySince?: number | undefined;
}

/** Objections to the change, one sentence for each list; empty where no other step must come first. */
export function keyFaults(running: readonly RunningPod[], wanted: KeyNames): string[] {
  return rules.flatMap((rule) => fault(rule, running, wanted));
}

/** Names in the keyring of a pod but no longer in the configuration: nothing may need them. */
export function droppedFromKeyring(running: readonly RunningPod[], wanted: KeyNames): string[] {
  const held = new Set(running.flatMap(({ keys }) => keys.keyring));
  return [...held].filter((name) => !wanted.keyring.includes(name));
}

/** Objections to dropping them: objects that are sealed with one, or may be. */
export function sealFaults(
  dropped: readonly string[],
  objects: readonly SealedObject[],
  running: readonly RunningPod[],
  wanted: KeyNames,
): string[] {
  // The server seals with the first key: what was written after all pods had it needs no label.
  const ready = running.map(({ readySince }) => readySince);
  const since = ready.every((time) => time !== undefined) ? Math.max(...ready) : Infinity;
  const needing = objects.filter(({ key, written = 0 }) =>
    key === undefined ? written < since : dropped.includes(key),
  );
  if (needing.length === 0) return [];
  const names = needing.map(
    ({ object, owner }) => `${object} ${owner === undefined ? "without an owner" : `of ${owner}`}`,
  );
  const keys = dropped.map((name) => JSON.stringify(name)).join(" and ");
  return [
    `apisix.keyring: ${keys} was removed, but objects in the gateway are sealed with it, or may be: ${names.join(", ")}. ` +
      `Put it back: ${listed([...wanted.keyring, ...dropped])}. ` +
      "To reseal an object, run pulumi up in the stack that owns it; PUT one without an owner again, with the output admin.sealedBy as its label mtls-everywhere.sealed. " +
      "Then drop the key.",
  ];
}

interface Rule {
  readonly list: keyof KeyNames;
  readonly key: string;
  /** What a pod that was started without the new first key does; a list without this may begin with a new key at once. */
  readonly without?: string;
  /** What a pod does with the key in use. */
  readonly uses: string;
  /** What must be done before the former one may be dropped. */
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
    uses: "has it first, and other stacks may use it",
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
        `Append it (${appended}), run pulumi up, then move it to the front.`,
    ];
  }
  const using = running.find(({ keys }) => !names.includes(inUse(keys[list])));
  if (!using) return [];
  const used = inUse(using.keys[list]);
  return [
    `${key}: "${used}" was removed, but pod ${using.name} ${uses}. ` +
      `Put it back (${listed([...names, used])}), ${update}, then drop it.`,
  ];
}

/** A list as it is written in the configuration. */
function listed(names: readonly string[]): string {
  return `[${names.map((name) => JSON.stringify(name)).join(", ")}]`;
}
