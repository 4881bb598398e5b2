// The provider that all dynamic resources share: stubs that only import; the logic lives in dynamic-resources, where it is tested without Pulumi.

import type { ClusterSelection } from "@mtls-everywhere/cluster-access/cluster";
import type { Kind } from "@mtls-everywhere/dynamic-resources";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

import { readUrn } from "../urn.ts";

type Props = Readonly<Record<string, unknown>>;

interface DynamicProvider extends pulumi.dynamic.ResourceProvider<Props, Props> {
  readonly kind: Kind;
  cluster: ClusterSelection;
}

/**
 * The provider of one kind. It is serialized into state with every resource, so it captures nothing: what a method
 * needs is on `this` or imported while it runs. Old state therefore always runs the code that is installed now.
 */
export function providerOf(kind: Kind): pulumi.dynamic.ResourceProvider {
  const provider: DynamicProvider = {
    kind,
    cluster: {},
    // Sets the field before it first yields: the engine does not wait for configure before other calls use `this`.
    async configure(req) {
      this.cluster = {
        kubeconfig: req.config.get("kubernetes:kubeconfig"),
        context: req.config.get("kubernetes:context"),
      };
    },
    async check(_olds, news) {
      const { check } = await import("@mtls-everywhere/dynamic-resources");
      return check(this.kind, news, this.cluster);
    },
    async diff(id, olds, news) {
      const { diff } = await import("@mtls-everywhere/dynamic-resources");
      return diff(this.kind, id, olds, news, this.cluster);
    },
    async create(inputs) {
      const { create } = await import("@mtls-everywhere/dynamic-resources");
      return create(this.kind, inputs, this.cluster);
    },
    async read(id, props) {
      const { read } = await import("@mtls-everywhere/dynamic-resources");
      return read(this.kind, id, props ?? {}, this.cluster);
    },
    async update(id, olds, news) {
      const { update } = await import("@mtls-everywhere/dynamic-resources");
      return update(this.kind, id, olds, news, this.cluster);
    },
    async delete(id, props) {
      const { remove } = await import("@mtls-everywhere/dynamic-resources");
      return remove(this.kind, id, props, this.cluster);
    },
  };
  return provider;
}

/** What every object in the Admin API is created with. */
export interface AdminObjectArgs {
  /** The Admin API to create the object in: `apisix.admin`. An endpoint in another cluster replaces the object. */
  readonly admin: pulumi.Input<AdminEndpoint>;
  /**
   * Id in the Admin API: letters, digits, `-`, `_`, `.`, at most 64. A new id replaces the object.
   * @default the resource's name
   */
  readonly id?: pulumi.Input<string>;
  /**
   * Take over an object that has this id and another owner or none, instead of refusing it.
   * @default false
   */
  readonly adopt?: pulumi.Input<boolean>;
}

/** The inputs that name the object and its owner; the owner tells this resource's objects from all others. */
export function identityOf(name: string, args: AdminObjectArgs, opts: pulumi.CustomResourceOptions = {}) {
  return { admin: args.admin, objectId: args.id ?? name, owner: ownerOf(name, opts.parent), adopt: args.adopt };
}

/** Like a URN, it tells resources with the same name apart by their parents' types: `project/stack[/parents]/name`. */
function ownerOf(name: string, parent: pulumi.Resource | undefined): pulumi.Input<string> {
  const owner = (...parents: string[]) =>
    [pulumi.getProject(), pulumi.getStack(), ...parents, name].map(encodeURIComponent).join("/");
  if (parent === undefined) return owner();
  // Not as an output: that depends on the parent, for a component on everything in it, and two resources in it would wait for each other.
  return new Promise((known) => parent.urn.apply((urn) => known(owner(...parentTypes(urn)))));
}

/** The stack itself does not count as a parent. */
function parentTypes(urn: string): string[] {
  const types = readUrn(urn).types.join("$");
  return types === "" || types === "pulumi:pulumi:Stack" ? [] : [types];
}
