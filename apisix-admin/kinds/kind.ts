// A kind of Admin API object: a value that answers everything the life cycle asks of it.

import type { KeyPair } from "@mtls-everywhere/cluster-access";
import type { ConfigMapKeyRef, SecretRef } from "@mtls-everywhere/vocabulary/references";
import type { z } from "zod";

import { type Body, defined } from "../body.ts";
import { type Failure, objections, type Props } from "../checks.ts";
import { byLabels, type OwnerMark } from "../ownership.ts";
import type { ObjectIdentity } from "./values.ts";

/** What a body is built from besides its inputs: certificates and trust bundles, read when needed. */
export interface Sources {
  /** Throws when this is another cluster. */
  expect(cluster: string): Promise<void>;
  keyPair(ref: SecretRef): Promise<KeyPair>;
  trustBundle(ref: ConfigMapKeyRef): Promise<string>;
}

/** The objects that may refer to others. */
export interface Referrers {
  list(kind: "routes" | "services" | "upstreams"): Promise<readonly Body[]>;
}

/** The objects that one may refer to. */
export interface Referred {
  get(kind: "ssls", id: string): Promise<Body | undefined>;
}

/** How an object is looked at beside others of its kind. */
export interface Rivals {
  /** The fields of its body that count, or nothing while they are not all known. */
  fields(inputs: Props): Body | undefined;
  /** What is doubtful, in sentences. The bodies carry their ids and owners. */
  doubts(own: Body, others: readonly Body[]): string[];
}

/** A kind of objects. `Spec` is what its schema makes of the inputs. */
export interface Definition<Spec extends ObjectIdentity> {
  readonly schema: z.ZodType<Spec>;
  /** How its objects carry their owner. Default: in labels. */
  readonly mark?: OwnerMark;
  /** What the server assumes for fields that a body omits; it neither stores nor returns these. */
  readonly defaults: Body;
  /** The Admin API's body, without its owner. Fields that are undefined are left out. */
  body(spec: Spec, sources: Sources): Body | Promise<Body>;
  /** An object as it is compared: without what the server keeps to itself, and what is redundant. Default: as it is. */
  readonly comparable?: (object: Body) => Body;
  /** An object as it may be shown and kept in state: no keys, no secrets. Default: as it is compared. */
  readonly presentable?: (object: Body) => Body;
  /** The live object, with what will become as desired by itself counted as done. Default: as it is. */
  settled?(spec: Spec, desired: Body, live: Body): Body;
  /** Outputs of the resource besides `live`. */
  outputs?(object: Body): Props;
  /** What the server would accept and then fail with. Default: what the server's own schema objects to. */
  readonly problems?: (spec: Spec, sources: Sources) => Promise<Failure[]>;
  /** Conflicts with other owners' live objects of the kind. `desired` is its body, if that can be built already. */
  readonly clashes?: (spec: Spec, others: readonly Body[], desired: Body | undefined) => Failure[];
  /** What is doubtful beside others' objects of the kind, live or wanted, though it is not refused. */
  readonly rivals?: Rivals;
  /** Waits for what the same update is still making, and throws when the object cannot serve. */
  beforePut?(spec: Spec, sources: Sources, referred: Referred): Promise<void>;
  /** Throws when the server would delete an object that others still need. */
  beforeDelete?(id: string, referrers: Referrers): Promise<void>;
  /** Whether others refer to it, even where the server's own view lags behind. */
  inUse?(id: string, referrers: Referrers): Promise<boolean>;
}

/** The object that inputs ask for. */
export interface Wanted {
  body(instance: string, sources: Sources): Promise<Body>;
  settled(desired: Body, live: Body): Body;
  readonly problems: ((sources: Sources) => Promise<Failure[]>) | undefined;
  readonly clashes: ((others: readonly Body[], desired?: Body) => Failure[]) | undefined;
  beforePut(sources: Sources, referred: Referred): Promise<void>;
}

/** A kind as the life cycle sees it, whatever its specs look like. */
export interface Kind {
  /** All objections to inputs, parts of which may be unknown. */
  objections(inputs: Props): Failure[];
  /** The object that valid, fully known inputs ask for. */
  wanted(inputs: Props): Wanted;
  readonly mark: OwnerMark;
  readonly rivals: Rivals | undefined;
  comparable(object: Body): Body;
  presentable(object: Body): Body;
  outputs(object: Body): Props;
  beforeDelete(id: string, referrers: Referrers): Promise<void>;
  inUse(id: string, referrers: Referrers): Promise<boolean>;
}

/** Hides a definition's type of spec, so that kinds with different ones fit into one registry. */
export function defineKind<Spec extends ObjectIdentity>(definition: Definition<Spec>): Kind {
  const { schema, mark = byLabels, defaults, problems, comparable = (object) => object } = definition;
  const { presentable = comparable, clashes, rivals } = definition;
  return {
    objections: (inputs) => objections(schema, inputs),
    wanted(inputs) {
      const spec = schema.parse(inputs);
      return {
        body: async (instance, sources) =>
          mark.put(defined(await definition.body(spec, sources)), { owner: spec.owner, instance }),
        settled: (desired, live) => definition.settled?.(spec, desired, live) ?? live,
        problems: problems && ((sources) => problems(spec, sources)),
        clashes: clashes && ((others, desired) => clashes(spec, others, desired)),
        beforePut: async (sources, referred) => definition.beforePut?.(spec, sources, referred),
      };
    },
    mark,
    rivals,
    comparable: (object) => ({ ...defaults, ...comparable(withoutServerFields(object)) }),
    presentable: (object) => presentable(withoutServerFields(object)),
    outputs: (object) => definition.outputs?.(object) ?? {},
    beforeDelete: async (id, referrers) => definition.beforeDelete?.(id, referrers),
    inUse: async (id, referrers) => definition.inUse?.(id, referrers) ?? false,
  };
}

/** An object as it was put: without what the server adds. */
function withoutServerFields({ id: _id, create_time: _c, update_time: _u, ...object }: Body): Body {
  return object;
}
