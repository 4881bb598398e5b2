// Names of the keys that rotate: ordered lists of short names, of which the first is in use and the others are still accepted.

import { z } from "zod";

/** The name without a suffix: what a platform had before its keys had names. */
const unnamed = "1";

/** One list as the configuration has it. */
export const keyList = z
  .array(
    z
      .string()
      .regex(
        /^[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?$/,
        'must be a short name such as "2": lower-case letters, digits and hyphens',
      ),
  )
  .min(1, "must name at least one key")
  .refine((names) => new Set(names).size === names.length, "must name each key once")
  .default([unnamed]);

/** The three kinds of keys besides those of certificates. */
const keyNames = z.strictObject({
  /** Keys that APISIX seals certificates' keys and plugins' secrets with in etcd: the first seals, all open. */
  keyring: keyList,
  /** Keys of the Admin API: the first is used, all are accepted. */
  adminKeys: keyList,
  /** Users that APISIX may sign in to etcd as: it does so as the first, all exist. */
  users: keyList,
});

/** Their names, as the configuration has them. */
export type KeyNames = { readonly [List in keyof z.output<typeof keyNames>]: readonly string[] };

/** What a platform has that has not rotated anything yet. */
export const firstKeys: KeyNames = keyNames.parse({});

/** The key in use. */
export function inUse(names: readonly string[]): string {
  return names[0] ?? unnamed;
}

/** Name of a key's own resource, user or Secret entry, such as `apisix-keyring-2`. */
export function suffixed(base: string, name: string): string {
  return name === unnamed ? base : `${base}-${name}`;
}

/** Name of a key's environment variable, such as `KEYRING_2`. */
export function variableOf(base: string, name: string): string {
  return suffixed(base, name).replaceAll("-", "_").toUpperCase();
}

const annotation = "mtls-everywhere/keys";

/** Annotation of pods that says which keys they were started with. */
export function startedWithKeys({ keyring, adminKeys, users }: KeyNames) {
  return { [annotation]: JSON.stringify({ keyring, adminKeys, users }) };
}

/** The keys that a pod was started with, by its annotations. */
export function keysOf(annotations: Readonly<Record<string, string>>): KeyNames {
  return keyNames.parse(JSON.parse(annotations[annotation] ?? "{}"));
}
