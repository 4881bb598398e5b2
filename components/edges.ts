// Who may talk to whom: an edge is two NetworkPolicies, one for the pods at either end. Everything else the namespace denies.

import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { labelsIn, selectorOf } from "./workload.ts";

/** The pods at one end of an edge. */
export interface Pods {
  /** What the names of policies call them: their workload's name. */
  readonly name: string;
  readonly namespace: string;
  /** What selects them, as kubectl takes it. */
  readonly selector: string;
}

/** The pods of a workload that this library makes. */
export function podsOf(name: string, namespace: string): Pods {
  return { name, namespace, selector: selectorOf(name) };
}

/**
 * Lets pods reach a TCP port of others: it opens both ends. Policies bind only where the cluster's network plugin enforces them.
 * Probes and port-forwards come from the node itself, past them.
 */
export function allow(from: Pods, to: Pods, port: number, opts: pulumi.CustomResourceOptions): void {
  for (const policy of edgeBetween(from, to, port)) createPolicy(policy, opts);
}

/** Makes a policy; unless another name is given, its name in the cluster is its name in the state too. */
export function createPolicy(
  policy: NetworkPolicy,
  opts: pulumi.CustomResourceOptions,
  name = policy.metadata.name,
): void {
  new k8s.networking.v1.NetworkPolicy(name, policy, opts);
}

/** Where the policy was in the state while one component made them all: made anew, it would meet itself under the same name. */
export function formerly(policy: string): pulumi.Output<pulumi.URN> {
  const all = pulumi.createUrn("edges", "mtls:platform:NetworkPolicies");
  return pulumi.createUrn(`edges-${policy}`, "kubernetes:networking.k8s.io/v1:NetworkPolicy", all);
}

/** Both halves of an edge: that of the pods that speak, and that of those that are spoken to. */
export function edgeBetween(from: Pods, to: Pods, port: number): NetworkPolicy[] {
  const ports = [tcp(port)];
  return [
    networkPolicy(`${from.name}-to-${to.name}`, from, { egress: [{ to: [peer(to, from)], ports }] }),
    networkPolicy(`${to.name}-from-${from.name}`, to, { ingress: [{ from: [peer(from, to)], ports }] }),
  ];
}

export interface NetworkPolicy {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly podSelector: { readonly matchLabels?: Labels };
    readonly policyTypes: ("Ingress" | "Egress")[];
    readonly ingress?: IngressRule[];
    readonly egress?: EgressRule[];
  };
}

export interface IngressRule {
  /** Default: from anywhere. */
  readonly from?: Peer[];
  readonly ports: Port[];
}

export interface EgressRule {
  readonly to: Peer[];
  /** Default: any. */
  readonly ports?: Port[];
}

/** Pods by namespace and label, where they are not those of the policy's own namespace; or an address. */
export type Peer =
  | { readonly podSelector: Selector; readonly namespaceSelector?: Selector }
  | { readonly ipBlock: { readonly cidr: string } };

interface Port {
  readonly protocol: "TCP" | "UDP";
  readonly port: number;
}

interface Selector {
  readonly matchLabels?: Labels;
}

type Labels = Readonly<Record<string, string>>;

/** A policy that cuts pods off in each direction that it is given rules for, though they be none, and opens what they say. */
export function networkPolicy(
  name: string,
  pods: Pods,
  { ingress, egress }: { readonly ingress?: IngressRule[]; readonly egress?: EgressRule[] },
): NetworkPolicy {
  return {
    metadata: { name, namespace: pods.namespace },
    spec: {
      podSelector: { matchLabels: labelsIn(pods.selector) },
      policyTypes: [...(ingress ? (["Ingress"] as const) : []), ...(egress ? (["Egress"] as const) : [])],
      // The API server keeps no empty list: after a refresh one would be a change for ever.
      ...(ingress?.length ? { ingress } : {}),
      ...(egress?.length ? { egress } : {}),
    },
  };
}

/** Pods as those of another namespace, or of the same one, see them. */
export function peer(pods: Pods, seenFrom: Pick<Pods, "namespace">): Peer {
  const podSelector = { matchLabels: labelsIn(pods.selector) };
  if (pods.namespace === seenFrom.namespace) return { podSelector };
  return { namespaceSelector: { matchLabels: namespaceLabel(pods.namespace) }, podSelector };
}

export function tcp(port: number): Port {
  return { protocol: "TCP", port };
}

/** The cluster's DNS, or its node-local cache at the customary address. */
export const toNameService: EgressRule = {
  to: [
    {
      namespaceSelector: { matchLabels: namespaceLabel("kube-system") },
      podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
    },
    { ipBlock: { cidr: "169.254.20.10/32" } },
  ],
  ports: [{ protocol: "UDP", port: 53 }, tcp(53)],
};

/** The label that Kubernetes gives to a namespace of this name. */
function namespaceLabel(name: string): Labels {
  return { "kubernetes.io/metadata.name": name };
}
