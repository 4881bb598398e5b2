// The life cycle of each dynamic resource, free of Pulumi: what the provider's methods call.

import { isDeepStrictEqual } from "node:util";

import { hasUnknown, type Props } from "@mtls-everywhere/apisix-admin/checks";
import { isKindName, type KindName, kinds } from "@mtls-everywhere/apisix-admin/kinds/registry";
import { type Access, MissingObject } from "@mtls-everywhere/cluster-access";
import { Cluster, type ClusterSelection } from "@mtls-everywhere/cluster-access/cluster";

import { adminObject } from "./adminObject.ts";
import { etcdAuth } from "./etcdAuth.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { rootCertificates } from "./rootCertificates.ts";
import { rootKey } from "./rootKey.ts";
import { Unconfirmed } from "./unconfirmed.ts";

/** The kinds of dynamic resources. */
export type Kind = KindName | keyof typeof others;

/** A cluster to work on: which kubeconfig, or any access. */
export type At = ClusterSelection | Access;

export async function check(kind: Kind, inputs: Props, at: At) {
  return { inputs, failures: await lifecycleOf(kind).check(inputs, accessOf(at)) };
}

/** Compares with the live object, not with state, so that drift and renewed certificates show without a refresh. */
export async function diff(kind: Kind, id: string, olds: Props, news: Props, at: At) {
  const replaces = lifecycleOf(kind).replaces(id, olds, news);
  // A replacement under the same id must not be created before the old one is deleted.
  if (replaces.length > 0) return { changes: true, replaces, deleteBeforeReplace: false };
  const drift = hasUnknown(news) ? [] : await driftOf(kind, olds, news, at);
  for (const line of drift) console.log(`${kind}/${id}: ${line}`);
  const changes = hasUnknown(news) || drift.length > 0 || inputsChanged(olds, news) || codeMoved(olds, news);
  return { changes, deleteBeforeReplace: true };
}

/** What is missing may be made by the same update, before this resource's turn: it is a change, not an error. */
async function driftOf(kind: Kind, olds: Props, news: Props, at: At): Promise<string[]> {
  try {
    return await lifecycleOf(kind).drift(olds, news, accessOf(at));
  } catch (error) {
    if (error instanceof MissingObject) return [error.message];
    throw error;
  }
}

/** An error with an `id` makes the engine record the resource as partly created: the next update completes it, a destroy removes it. */
export async function create(kind: Kind, inputs: Props, at: At) {
  try {
    const { id, outs } = await lifecycleOf(kind).apply(undefined, inputs, accessOf(at));
    return { id, outs: json({ ...inputs, ...outs }) };
  } catch (error) {
    if (!(error instanceof Unconfirmed)) throw error;
    const { id, outs, message } = error;
    throw Object.assign(error, { id, properties: json({ ...inputs, ...outs }), reasons: [message] });
  }
}

/** `{}` when the object is gone: the engine then forgets it, and the next update creates it again. */
export async function read(kind: Kind, id: string, props: Props, at: At) {
  const live = await lifecycleOf(kind).read(id, props, accessOf(at));
  return live ? { id, props: json({ ...props, ...live }) } : {};
}

export async function update(kind: Kind, _id: string, olds: Props, news: Props, at: At) {
  const { outs } = await lifecycleOf(kind).apply(olds, news, accessOf(at));
  return { outs: json({ ...news, ...outs }) };
}

export async function remove(kind: Kind, id: string, props: Props, at: At): Promise<void> {
  await lifecycleOf(kind).remove(id, props, accessOf(at));
}

/** Resources that are not objects of the Admin API. */
const others = { etcdAuth, rootCertificates, rootKey } satisfies Record<string, Lifecycle>;

/** State outlives releases: it may name a kind that only a newer one has. */
function lifecycleOf(kind: string): Lifecycle {
  if (isKindName(kind)) return adminObject(kind, kinds[kind]);
  if (isOther(kind)) return others[kind];
  throw new Error(
    `This release of mtls-everywhere has no resources of kind "${kind}". Use the release that last updated the stack.`,
  );
}

function isOther(kind: string): kind is keyof typeof others {
  return Object.hasOwn(others, kind);
}

/** Outputs that are not inputs. */
const outputs = new Set(["__provider", "instance", "live", "digest", "notAfter", "pem"]);

/** State must follow its inputs even when the live object does not change: delete runs with what state holds. */
function inputsChanged(olds: Props, news: Props): boolean {
  const names = new Set([...Object.keys(olds), ...Object.keys(news)]);
  return [...names].some((name) => !outputs.has(name) && !isDeepStrictEqual(olds[name], news[name]));
}

/**
 * Whether the program has moved between a checkout and the package that consumers install: the code in the state, which a refresh or a
 * delete would run, looks for the life cycles where they are no more.
 */
function codeMoved(olds: Props, news: Props): boolean {
  const packaged = ({ __provider: code }: Props) => String(code).includes('import("mtls-everywhere/');
  return packaged(olds) !== packaged(news);
}

const clusters = new Map<string, Cluster>();

function accessOf(at: At): Access {
  if ("connect" in at) return at;
  const name = JSON.stringify(at);
  const cluster = clusters.get(name) ?? new Cluster(at);
  clusters.set(name, cluster);
  return cluster;
}

/** The engine rejects `undefined` in outputs after the work is done, which would orphan the object. */
function json(props: Props): Props {
  return JSON.parse(JSON.stringify(props)) as Props;
}
