// Who may talk to whom: NetworkPolicies for exactly the edges of the diagram, everything else in the namespace denied.

import type { ApiServer } from "@mtls-everywhere/cluster-access/cluster";
import { apisixPorts, etcdPorts, nginxPort } from "@mtls-everywhere/vocabulary/ports";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { renewerEdges } from "./renewer.ts";
import { matchLabelsOf, upstreamLabel } from "./workload.ts";

export interface NetworkPoliciesArgs {
  readonly namespace: string;
  /** Names of the workloads at the ends of the edges. */
  readonly etcd: string;
  readonly apisix: string;
  readonly upstream: string;
  /** Where the API server really listens: policies are applied behind Services. */
  readonly apiServer: ApiServer;
}

/** They bind only where the cluster's network plugin enforces NetworkPolicy. Probes and port-forwards come from the node itself. */
export class NetworkPolicies extends pulumi.ComponentResource {
  constructor(name: string, args: NetworkPoliciesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:NetworkPolicies", name, {}, opts);
    for (const [policy, spec] of Object.entries(networkPolicySpecs(args))) {
      new k8s.networking.v1.NetworkPolicy(
        `${name}-${policy}`,
        { metadata: { name: policy, namespace: args.namespace }, spec },
        { parent: this },
      );
    }
    this.registerOutputs();
  }
}

/** The policies' specs, by name. */
export function networkPolicySpecs(args: Omit<NetworkPoliciesArgs, "namespace">) {
  const pods = (name: string) => ({ podSelector: { matchLabels: matchLabelsOf(name) } });
  const tcp = (port: number) => [{ protocol: "TCP", port }];
  return {
    "deny-all": { podSelector: {}, policyTypes: ["Ingress", "Egress"] },
    [args.etcd]: {
      ...pods(args.etcd),
      policyTypes: ["Ingress", "Egress"],
      ingress: [
        { from: [pods(args.apisix)], ports: tcp(etcdPorts.client) },
        { from: [pods(args.etcd)], ports: tcp(etcdPorts.peer) },
      ],
      egress: [{ to: [pods(args.etcd)], ports: tcp(etcdPorts.peer) }, nameService],
    },
    [args.apisix]: {
      ...pods(args.apisix),
      policyTypes: ["Ingress", "Egress"],
      // Clients come from anywhere: the gateway's mutual TLS tells them apart.
      ingress: [{ ports: tcp(apisixPorts.gateway) }],
      egress: [
        { to: [pods(args.etcd)], ports: tcp(etcdPorts.client) },
        // Upstreams of any team, by a label that they set themselves; the port is theirs.
        { to: [{ namespaceSelector: {}, podSelector: { matchLabels: upstreamLabel } }] },
        nameService,
      ],
    },
    [`${args.apisix}-renewer`]: { ...pods(args.apisix), ...renewerEdges(args.apiServer) },
    [args.upstream]: {
      ...pods(args.upstream),
      policyTypes: ["Ingress", "Egress"],
      ingress: [{ from: [pods(args.apisix)], ports: tcp(nginxPort) }],
    },
  };
}

/** The cluster's DNS, or its node-local cache at the customary address. */
const nameService = {
  to: [
    {
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } },
      podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
    },
    { ipBlock: { cidr: "169.254.20.10/32" } },
  ],
  ports: [
    { protocol: "UDP", port: 53 },
    { protocol: "TCP", port: 53 },
  ],
};
