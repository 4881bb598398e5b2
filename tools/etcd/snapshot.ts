// Snapshots of what APISIX keeps in etcd: its keys and values as of one revision, without users, which the stack has.

import { open, readFile } from "node:fs/promises";

import { z } from "zod";

import type { StoreCall } from "../verify/storeSession.ts";

const entry = z.object({ key: z.base64(), value: z.base64() });
const snapshot = z.object({
  format: z.literal("mtls-everywhere/etcd-keys/1"),
  /** UID of the cluster that it was taken from. */
  cluster: z.string(),
  prefix: z.string(),
  revision: z.string(),
  keys: z.array(entry),
});

/** A file's content. Keys and values are base64, as etcd's JSON gateway has them. */
export interface Snapshot extends z.infer<typeof snapshot> {}

/** A key and its value. */
export type Entry = z.infer<typeof entry>;

/** The changes from the live keys to those of a snapshot. */
export interface Restoration {
  readonly puts: readonly Entry[];
  /** Keys added since the snapshot. */
  readonly deletes: readonly string[];
  readonly same: number;
}

/** Reads all keys under a prefix as of one revision. Leased keys are left out: they belong to a running server. */
export async function take(
  call: StoreCall,
  { cluster, prefix }: Pick<Snapshot, "cluster" | "prefix">,
  signal: AbortSignal,
): Promise<Snapshot> {
  const end = endOf(prefix);
  const keys: Entry[] = [];
  let revision: string | undefined;
  for (let from: Buffer | undefined = Buffer.from(prefix); from;) {
    const range = { key: from.toString("base64"), range_end: end, limit: pageSize, ...(revision ? { revision } : {}) };
    const page: Page = await call("kv/range", range, { signal });
    revision ??= page.header.revision;
    const kvs = page.kvs ?? [];
    for (const { key, value = "", lease } of kvs) if (lease === undefined) keys.push({ key, value });
    const last = kvs.at(-1);
    // The key right after the last one.
    from = page.more && last ? Buffer.concat([Buffer.from(last.key, "base64"), Buffer.of(0)]) : undefined;
  }
  return { format: "mtls-everywhere/etcd-keys/1", cluster, prefix, revision: revision ?? "0", keys };
}

/** How the live keys differ from the snapshot's. */
export function restoration(live: readonly Entry[], wanted: readonly Entry[]): Restoration {
  const now = new Map(live.map(({ key, value }) => [key, value]));
  const then = new Set(wanted.map(({ key }) => key));
  const puts = wanted.filter(({ key, value }) => now.get(key) !== value);
  return {
    puts: [...puts].sort((a, b) => rank(a.key) - rank(b.key)),
    deletes: [...now.keys()].filter((key) => !then.has(key)).sort((a, b) => rank(b) - rank(a)),
    same: wanted.length - puts.length,
  };
}

/** Applies the changes, usually in one transaction. After a failure, a new run starts from the live keys. */
export async function restore(call: StoreCall, { puts, deletes }: Restoration, signal: AbortSignal): Promise<void> {
  for (const success of batches([
    ...puts.map((put) => ({ requestPut: put })),
    ...deletes.map((key) => ({ requestDeleteRange: { key } })),
  ])) {
    await call("kv/txn", { success }, { signal });
  }
}

/** Only its owner may read it: it holds keys, sealed by APISIX's keyring. Never overwrites a file. */
export async function write(file: string, content: Snapshot): Promise<void> {
  const handle = await open(file, "wx", 0o600);
  try {
    await handle.writeFile(`${JSON.stringify(content)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** @throws if the file is not a snapshot of this tool, or has keys of another prefix. */
export async function read(file: string, prefix: string): Promise<Snapshot> {
  const found = parsed(file, await readFile(file, "utf8"));
  if (found.prefix === prefix) return found;
  throw new Error(
    `${file} has keys under ${found.prefix}, but this platform's are under ${prefix}. Nothing was changed.`,
  );
}

function parsed(file: string, text: string): Snapshot {
  try {
    return snapshot.parse(JSON.parse(text));
  } catch {
    throw new Error(`${file} is not a snapshot taken by tools/etcd, or is incomplete. Nothing was changed.`);
  }
}

/** Routes refer to the other objects: they are written last and deleted first. */
function rank(key: string): number {
  return Buffer.from(key, "base64").toString().includes("/routes/") ? 1 : 0;
}

/** First key that no longer starts with the prefix. */
function endOf(prefix: string): string {
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1; // No UTF-8 byte is 0xff.
  return end.toString("base64");
}

const pageSize = 200;
/** Below etcd's own limits for one transaction: 128 operations, 1.5 MiB. */
const most = { operations: 100, characters: 1.5 * 2 ** 20 };

function batches<T>(operations: readonly T[]): T[][] {
  const result: T[][] = [];
  let size = Infinity;
  for (const operation of operations) {
    const { length } = JSON.stringify(operation);
    const batch = result.at(-1);
    if (batch && batch.length < most.operations && size + length <= most.characters) batch.push(operation);
    else {
      result.push([operation]);
      size = 0;
    }
    size += length;
  }
  return result;
}

interface Page {
  readonly header: { readonly revision: string };
  readonly kvs?: readonly { readonly key: string; readonly value?: string; readonly lease?: string }[];
  readonly more?: boolean;
}
