// Who may reach whom, decided from NetworkPolicies as by a network plugin: both ends must allow the connection.

import { BlockList, isIPv6 } from "node:net";

/** A planned resource, or one from a state, as far as it matters here. */
export interface NetworkObject {
  readonly kind?: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: object;
}

/** A pod, or an address outside all pods. */
export interface Place {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Labels;
  readonly address?: string;
}

type Labels = Readonly<Record<string, string>>;

interface Policy {
  readonly metadata: { readonly namespace: string };
  readonly spec: {
    readonly podSelector: Selector;
    readonly policyTypes: readonly string[];
    readonly ingress?: readonly Rule[];
    readonly egress?: readonly Rule[];
  };
}

interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly protocol: string; readonly port: number }[];
}

interface Peer {
  readonly podSelector?: Selector;
  readonly namespaceSelector?: Selector;
  readonly ipBlock?: { readonly cidr: string };
}

interface Selector {
  readonly matchLabels?: Labels;
}

/** Every possible connection between the objects' workloads, or to or from elsewhere, such as `apisix -> etcd TCP 2379`. */
export function reachable(objects: readonly NetworkObject[], elsewhere: readonly Place[]): string[] {
  const policies = objects.filter(({ kind }) => kind === "NetworkPolicy") as unknown as readonly Policy[];
  const own = objects.flatMap(podOf);
  const ports = [...new Set(policies.flatMap(portsOf)), "any other"];
  const places = [...own, ...elsewhere];
  return places
    .flatMap((from) => places.map((to) => ({ from, to })))
    .filter(({ from, to }) => own.includes(from) || own.includes(to))
    .flatMap(({ from, to }) => {
      const open = ports.filter(
        (port) => lets(policies, "Egress", from, to, port) && lets(policies, "Ingress", to, from, port),
      );
      const said = open.length === ports.length ? ["any port"] : open;
      return said.map((port) => `${from.name} -> ${to.name} ${port}`);
    })
    .sort();
}

/** A workload's pods. */
function podOf({ metadata, spec }: NetworkObject): Place[] {
  const { template } = spec as { readonly template?: { readonly metadata: { readonly labels: Labels } } };
  return template ? [{ ...metadata, labels: template.metadata.labels }] : [];
}

/** Whether a place's own policies allow a port to or from another. */
function lets(
  policies: readonly Policy[],
  direction: "Ingress" | "Egress",
  place: Place,
  other: Place,
  port: string,
): boolean {
  const binding = policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === place.namespace &&
      matches(spec.podSelector, place.labels) &&
      spec.policyTypes.includes(direction),
  );
  if (binding.length === 0) return true;
  return binding.some((policy) =>
    (direction === "Ingress" ? policy.spec.ingress : policy.spec.egress)?.some((rule) => {
      const peers = direction === "Ingress" ? rule.from : rule.to;
      const met = peers === undefined || peers.some((peer) => isPeer(peer, policy, other));
      return met && (rule.ports === undefined || rule.ports.some((open) => nameOf(open) === port));
    }),
  );
}

function isPeer({ ipBlock, podSelector, namespaceSelector }: Peer, policy: Policy, place: Place): boolean {
  if (ipBlock) return place.address !== undefined && within(place.address, ipBlock.cidr);
  if (place.namespace === undefined) return false;
  const there = namespaceSelector
    ? matches(namespaceSelector, { "kubernetes.io/metadata.name": place.namespace })
    : place.namespace === policy.metadata.namespace;
  return there && matches(podSelector ?? {}, place.labels);
}

function matches({ matchLabels = {} }: Selector, labels: Labels = {}): boolean {
  return Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
}

function within(address: string, cidr: string): boolean {
  const [net = "", bits] = cidr.split("/");
  const family = (of: string) => (isIPv6(of) ? "ipv6" : "ipv4");
  const list = new BlockList();
  list.addSubnet(net, Number(bits), family(net));
  return list.check(address, family(address));
}

function portsOf({ spec }: Policy): string[] {
  return [...(spec.ingress ?? []), ...(spec.egress ?? [])].flatMap(({ ports = [] }) => ports.map(nameOf));
}

function nameOf({ protocol, port }: { readonly protocol: string; readonly port: number }): string {
  return `${protocol} ${port}`;
}
