// The life cycle of each dynamic resource, free of Pulumi: what the provider's methods call.

import { isDeepStrictEqual } from "node:util";

import { Cluster, type ClusterSelection } from "./access.ts";
import { adminObject } from "./adminObject.ts";
import { type Failure, hasUnknown, type Props } from "./checks.ts";
import { MissingObject, Unconfirmed } from "./errors.ts";
import { etcdAuth } from "./etcdAuth.ts";
import { rootCertificates } from "./rootCertificates.ts";
import type { Access } from "./session.ts";

/** The kinds of dynamic resources. */
export type Kind = "upstreams" | "ssls" | "routes" | "etcdAuth" | "rootCertificates";

/** What a kind does with a cluster. Inputs and outputs are plain JSON; outputs contain the inputs. */
export interface Lifecycle {
  /** Objections to the inputs, of which parts may be unknown. */
  check(inputs: Props, access: Access): Promise<Failure[]>;
  /** Properties whose change needs another object. */
  replaces(id: string, olds: Props, news: Props): string[];
  /** What differs between the wanted and the live state, in sentences. All inputs are known. */
  drift(olds: Props, news: Props, access: Access): Promise<string[]>;
  /** Brings the live state to the wanted one; gives the outputs beside the inputs. */
  apply(olds: Props | undefined, news: Props, access: Access): Promise<{ readonly id: string; readonly outs: Props }>;
  /** The live outputs, or undefined when there is nothing. */
  read(id: string, props: Props, access: Access): Promise<Props | undefined>;
  remove(id: string, props: Props, access: Access): Promise<void>;
}

/** A cluster to work on: which kubeconfig, or any access. */
export type At = ClusterSelection | Access;

export async function check(kind: Kind, inputs: Props, at: At) {
  return { inputs, failures: await kinds[kind].check(inputs, accessOf(at)) };
}

/** Compares with the live object, not with state, so that drift and renewed certificates show without a refresh. */
export async function diff(kind: Kind, id: string, olds: Props, news: Props, at: At) {
  const replaces = kinds[kind].replaces(id, olds, news);
  // A replacement under the same id must not be created before the old one is deleted.
  if (replaces.length > 0) return { changes: true, replaces, deleteBeforeReplace: false };
  const drift = hasUnknown(news) ? [] : await driftOf(kind, olds, news, at);
  for (const line of drift) console.log(`${kind}/${id}: ${line}`);
  return { changes: hasUnknown(news) || drift.length > 0 || inputsChanged(olds, news), deleteBeforeReplace: true };
}

/** What new inputs name may be made by the same update, before this resource's turn: missing it is a change, not an error. */
async function driftOf(kind: Kind, olds: Props, news: Props, at: At): Promise<string[]> {
  try {
    return await kinds[kind].drift(olds, news, accessOf(at));
  } catch (error) {
    if (error instanceof MissingObject && inputsChanged(olds, news)) return [error.message];
    throw error;
  }
}

/** An error with an `id` makes the engine remember the resource as begun: the next update completes it, a destroy removes it. */
export async function create(kind: Kind, inputs: Props, at: At) {
  try {
    const { id, outs } = await kinds[kind].apply(undefined, inputs, accessOf(at));
    return { id, outs: json({ ...inputs, ...outs }) };
  } catch (error) {
    if (!(error instanceof Unconfirmed)) throw error;
    const { id, outs, message } = error;
    throw Object.assign(error, { id, properties: json({ ...inputs, ...outs }), reasons: [message] });
  }
}

/** `{}` when the object is gone: the engine then forgets it, and the next update creates it again. */
export async function read(kind: Kind, id: string, props: Props, at: At) {
  const live = await kinds[kind].read(id, props, accessOf(at));
  return live ? { id, props: json({ ...props, ...live }) } : {};
}

export async function update(kind: Kind, _id: string, olds: Props, news: Props, at: At) {
  const { outs } = await kinds[kind].apply(olds, news, accessOf(at));
  return { outs: json({ ...news, ...outs }) };
}

export async function remove(kind: Kind, id: string, props: Props, at: At): Promise<void> {
  await kinds[kind].remove(id, props, accessOf(at));
}

const kinds: { readonly [kind in Kind]: Lifecycle } = {
  upstreams: adminObject("upstreams"),
  ssls: adminObject("ssls"),
  routes: adminObject("routes"),
  etcdAuth,
  rootCertificates,
};

/** Outputs that are no inputs. */
const outputs = new Set(["__provider", "instance", "live", "digest", "notAfter", "pem"]);

/** State must follow its inputs even when the live object does not change: delete runs with what state holds. */
function inputsChanged(olds: Props, news: Props): boolean {
  const names = new Set([...Object.keys(olds), ...Object.keys(news)]);
  return [...names].some((name) => !outputs.has(name) && !isDeepStrictEqual(olds[name], news[name]));
}

const clusters = new Map<string, Cluster>();

function accessOf(at: At): Access {
  if ("connect" in at) return at;
  const name = JSON.stringify(at);
  const cluster = clusters.get(name) ?? new Cluster(at);
  clusters.set(name, cluster);
  return cluster;
}

/** The engine refuses `undefined` in outputs after the work is done, which would orphan it. */
function json(props: Props): Props {
  return JSON.parse(JSON.stringify(props)) as Props;
}
