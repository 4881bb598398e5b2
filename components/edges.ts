// Who may talk to whom: an edge is two NetworkPolicies, one for the pods at each end. The namespace denies everything else.

import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { labelsIn, selectorOf } from "./workload.ts";

/** The pods at one end of an edge. */
export interface Pods {
  /** Their name in the names of policies: their workload's. */
  readonly name: string;
  readonly namespace: string;
  /** Their label selector, as kubectl takes it. */
  readonly selector: string;
}

/** The pods of a workload that this library makes. */
export function podsOf(name: string, namespace: string): Pods {
  return { name, namespace, selector: selectorOf(name) };
}

/**
 * Lets pods reach a TCP port of others: it opens both ends. Policies take effect only where the cluster's network plugin enforces
 * them. Probes and port-forwards come from the node itself and bypass them.
 */
export function allow(from: Pods, to: Pods, port: number, opts: pulumi.CustomResourceOptions): void {
  for (const policy of edgeBetween(from, to, port)) createPolicy(policy, opts);
}

/** Creates a policy; unless another name is given, its name in the cluster is its name in the state too. */
export function createPolicy(
  policy: NetworkPolicy,
  opts: pulumi.CustomResourceOptions,
  name = policy.metadata.name,
): void {
  new k8s.networking.v1.NetworkPolicy(name, policy, opts);
}

/** Where the policy was in the state when one component created them all: recreated, it would clash with itself by name. */
export function formerly(policy: string): pulumi.Output<pulumi.URN> {
  const all = pulumi.createUrn("edges", "mtls:platform:NetworkPolicies");
  return pulumi.createUrn(`edges-${policy}`, "kubernetes:networking.k8s.io/v1:NetworkPolicy", all);
}

/** Both halves of an edge: egress for the calling pods, ingress for the called ones. */
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

/** Pods by label, and by namespace where it is not the policy's own; or an address. */
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

/** A policy that isolates pods in each direction for which it is given rules, even an empty list, but for what these allow. */
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
      // The API server drops an empty list: after a refresh it would show as a change forever.
      ...(ingress?.length ? { ingress } : {}),
      ...(egress?.length ? { egress } : {}),
    },
  };
}

/** Pods as seen from another namespace, or from their own. */
export function peer(pods: Pods, seenFrom: Pick<Pods, "namespace">): Peer {
  const podSelector = { matchLabels: labelsIn(pods.selector) };
  if (pods.namespace === seenFrom.namespace) return { podSelector };
  return { namespaceSelector: { matchLabels: namespaceLabel(pods.namespace) }, podSelector };
}

/** Every pod of a namespace. */
export function anyPodIn(namespace: string): Peer {
  return { namespaceSelector: { matchLabels: namespaceLabel(namespace) }, podSelector: {} };
}

export function tcp(port: number): Port {
  return { protocol: "TCP", port };
}

/** The cluster's DNS, or its node-local cache at the usual address. */
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
