// Plans how a stack survives the loss of its cluster: the state forgets what lived there and keeps roots and passwords.

import { recordsGenerations } from "../../components/generations.ts";
import type { Resource, State } from "./state.ts";

/** UID of the cluster that the stack lives on; undefined until its provider exists. */
export function homeOf({ deployment }: State): string | undefined {
  const providers = (deployment?.resources ?? []).filter(({ type }) => type === "pulumi:providers:kubernetes");
  return providers.map(({ inputs }) => inputs?.clusterIdentifier).find((uid) => typeof uid === "string");
}

/** A state without what lived in the cluster. */
export interface Forgetting {
  readonly state: State;
  readonly forgotten: readonly Resource[];
  readonly kept: readonly Resource[];
}

/**
 * Forgets Kubernetes objects, the cluster's provider, and dynamic resources, all of which act on that cluster. Components
 * stay: roots are their children, and the next update finds them unchanged.
 */
export function forget(state: State): Forgetting {
  const resources = state.deployment?.resources ?? [];
  const forgotten = resources.filter(livedIn);
  const gone = new Set(forgotten.map(({ urn }) => urn));
  const kept = resources
    .filter((resource) => !forgotten.includes(resource))
    .map((resource) => withoutReferences(resource, gone));
  // Pending operations concerned that cluster, or the next update repeats them.
  return {
    state: { ...state, deployment: { ...state.deployment, resources: kept, pending_operations: [] } },
    forgotten,
    kept,
  };
}

function livedIn({ type, urn }: Resource): boolean {
  return (
    type.startsWith("kubernetes:") ||
    type.startsWith("pulumi-nodejs:") ||
    type === "pulumi:providers:kubernetes" ||
    // Records where the stack lives and how many members its etcd has there; the record of the roots' generations is kept.
    (type === "pulumi:index:Stash" && !recordsGenerations(urn))
  );
}

/** The engine refuses a state with dangling references. */
function withoutReferences(resource: Resource, gone: ReadonlySet<string>): Resource {
  const { dependencies, propertyDependencies } = resource;
  const left = (urns: readonly string[]) => urns.filter((urn) => !gone.has(urn));
  return {
    ...resource,
    ...(dependencies ? { dependencies: left(dependencies) } : {}),
    ...(propertyDependencies
      ? {
          propertyDependencies: Object.fromEntries(
            Object.entries(propertyDependencies).map(([property, urns]) => [property, left(urns)]),
          ),
        }
      : {}),
  };
}

/** `2 Deployment, 1 Secret`: the number of each kind, by name, without components and providers. */
export function kindsOf(resources: readonly Resource[]): string {
  const kinds = resources
    .filter(({ custom, type }) => custom && !type.startsWith("pulumi:"))
    .map(({ type }) => type.split(":").at(-1) ?? "");
  const counts = [...new Set(kinds)].sort().map((kind) => `${kinds.filter((other) => other === kind).length} ${kind}`);
  return counts.join(", ") || "nothing";
}
