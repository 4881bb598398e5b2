// A namespace that denies all traffic until an edge allows it, and refuses pods that are not `restricted`.

import * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";

import { createPolicy, formerly, type NetworkPolicy } from "./edges.ts";

/** Which namespace, and who creates it. */
export interface NamespaceArgs {
  /** Name of the namespace. */
  readonly namespace: string;
  /**
   * Create it. `false` uses an existing one, and only denies all traffic in it.
   * @default true
   */
  readonly createNamespace?: boolean;
}

/**
 * The namespace, with traffic denied in it. It is not a component: a stack that releases its namespace must keep naming it, in the
 * same place in its state, or the engine would delete it.
 */
export function closedNamespace(
  name: string,
  { namespace, createNamespace = true }: NamespaceArgs,
  opts?: pulumi.CustomResourceOptions,
): k8s.core.v1.Namespace {
  const home = createNamespace
    ? new k8s.core.v1.Namespace(name, platformNamespace(namespace), opts)
    : k8s.core.v1.Namespace.get(name, namespace, opts);
  createPolicy(denyAll(namespace), { ...opts, dependsOn: home, aliases: [formerly("deny-all")] }, `${name}-deny-all`);
  return home;
}

/** A namespace that refuses pods that are not `restricted`. */
export function platformNamespace(name: string) {
  return { metadata: { name, labels: { "pod-security.kubernetes.io/enforce": "restricted" } } };
}

/** Isolates every pod of a namespace, but for what other policies allow. */
export function denyAll(namespace: string): NetworkPolicy {
  return { metadata: { name: "deny-all", namespace }, spec: { podSelector: {}, policyTypes: ["Ingress", "Egress"] } };
}
