// Plans etcd's objects: names, certificates' DNS names, the StatefulSet and its Services.

import type { CertSecretRef, TrustRef } from "@mtls-everywhere/vocabulary/planes";
import { etcdPorts } from "@mtls-everywhere/vocabulary/ports";
import { mebibytes } from "@mtls-everywhere/vocabulary/quantities";
import { standardSuites, tlsVersions } from "@mtls-everywhere/vocabulary/tlsPolicy";

import { networkPolicy, peer, podsOf, tcp, toNameService } from "./edges.ts";
import {
  configMapMount,
  labelsOf,
  matchLabelsOf,
  type Mountable,
  type PodAnnotations,
  resources,
  restrictedContainer,
  restrictedPod,
  secretMount,
  spreadOverNodes,
} from "./workload.ts";

/** User id of etcd's process; its image sets none. */
const uid = 1000;

/** Where APISIX keeps its objects: the prefix that its user is limited to. */
export const apisixPrefix = "/apisix";

/** The most members possible. Certificates and pods are planned for all of them, so that scaling restarts none. */
export const mostMembers = 5;

/** Names under which etcd is known; every one derives from the component's name and namespace. */
export function etcdNames(name: string, namespace: string, replicas: number) {
  const headless = headlessOf(name);
  const members = Array.from({ length: replicas }, (_, index) => `${name}-${index}`);
  return {
    service: `${name}.${namespace}.svc`,
    headless,
    members,
    memberHosts: members.map((member) => memberHost(name, namespace, member)),
  };
}

/** The name under which the others know a member. */
function memberHost(name: string, namespace: string, member: string): string {
  return `${member}.${headlessOf(name)}.${namespace}.svc`;
}

function headlessOf(name: string): string {
  return `${name}-peers`;
}

/** DNS names of the members' peer leaf, including those of members that may be added later. */
export function etcdPeerNames(name: string, namespace: string): string[] {
  return etcdNames(name, namespace, mostMembers).memberHosts;
}

/** DNS names of the server's leaf: each member by name, no wildcard; `localhost` is etcd's JSON gateway dialling itself. */
export function etcdServerNames(name: string, namespace: string): string[] {
  const { service } = etcdNames(name, namespace, mostMembers);
  return [name, `${name}.${namespace}`, service, ...etcdPeerNames(name, namespace), "localhost"];
}

/** URL at which its peers reach a member. */
export function etcdPeerUrl(name: string, namespace: string, member: string): string {
  return `https://${memberHost(name, namespace, member)}:${etcdPorts.peer}`;
}

/** Entries of the ConfigMap with the bootstrap settings of a member without data. */
export const startEntries = { cluster: "cluster", state: "state" } as const;

/** Whether a member without data bootstraps a new etcd with the named members, or joins an existing one. */
export type StartState = "new" | "existing";

/** The bootstrap settings of a member without data. A member with data ignores them. */
export function etcdStart(
  name: string,
  namespace: string,
  members: readonly string[],
  state: StartState,
): Readonly<Record<keyof typeof startEntries, string>> {
  return { cluster: members.map((member) => `${member}=${etcdPeerUrl(name, namespace, member)}`).join(","), state };
}

/** Name of the ConfigMap with these entries. */
export function etcdStartName(name: string): string {
  return `${name}-initial-cluster`;
}

/**
 * URLs at which APISIX finds etcd. For a while it avoids one that failed: several members are listed one by one,
 * so that the restart of one leaves the others. A single one is reached by the Service, whose address outlives the pod's.
 */
export function etcdEndpoints(name: string, namespace: string, replicas: number): string[] {
  const { service, memberHosts } = etcdNames(name, namespace, replicas);
  return (replicas > 1 ? memberHosts : [service]).map((host) => `https://${host}:${etcdPorts.client}`);
}

/** What the StatefulSet mounts, once it is issued. */
export interface EtcdMaterial {
  readonly server: Mountable<CertSecretRef<"etcd">>;
  readonly peer: Mountable<CertSecretRef<"etcd-peer">>;
  readonly trust: Mountable<TrustRef<"etcd">>;
  readonly peerTrust: Mountable<TrustRef<"etcd-peer">>;
  /** The roots that it starts with. */
  readonly annotations: PodAnnotations;
}

/** What its objects are planned from. */
export interface EtcdPlanArgs {
  /** Namespace of its objects. */
  readonly namespace: string;
  /** Members: 1, 3 or 5. */
  readonly replicas: number;
  /** Volume of each member, such as `1Gi`. */
  readonly storage: string;
  /**
   * Storage class of the volumes.
   * @default the cluster's default class
   */
  readonly storageClass?: string | undefined;
  /**
   * Keep the volumes when the StatefulSet is deleted.
   * @default true
   */
  readonly keepData?: boolean | undefined;
  /** etcd's image. */
  readonly image: string;
}

/** The Service that clients use. */
export function etcdService(name: string, args: EtcdPlanArgs) {
  return {
    metadata: {
      name,
      namespace: args.namespace,
      labels: labelsOf(name),
      annotations: { "pulumi.com/skipAwait": "true" },
    },
    spec: {
      selector: matchLabelsOf(name),
      ports: [{ name: "client", port: etcdPorts.client, targetPort: etcdPorts.client }],
    },
  };
}

/** The headless Service that gives members their names, before they are ready. */
export function etcdPeerService(name: string, args: EtcdPlanArgs) {
  return {
    metadata: { name: `${name}-peers`, namespace: args.namespace, labels: labelsOf(name) },
    spec: {
      clusterIP: "None",
      publishNotReadyAddresses: true,
      selector: matchLabelsOf(name),
      ports: [
        { name: "client", port: etcdPorts.client, targetPort: etcdPorts.client },
        { name: "peer", port: etcdPorts.peer, targetPort: etcdPorts.peer },
      ],
    },
  };
}

/**
 * The bootstrap settings of a member without data. tools/etcd changes them while it adds one: pods read them when they
 * start, and none rolls when they change.
 */
export function etcdStartMap(name: string, args: EtcdPlanArgs) {
  const { members } = etcdNames(name, args.namespace, args.replicas);
  return {
    metadata: { name: etcdStartName(name), namespace: args.namespace, labels: labelsOf(name) },
    data: etcdStart(name, args.namespace, members, "new"),
  };
}

/** The members. Client and peer port take only certificates of their own plane. */
export function etcdStatefulSet(name: string, args: EtcdPlanArgs, material: EtcdMaterial) {
  const names = etcdNames(name, args.namespace, args.replicas);
  const self = memberHost(name, args.namespace, "$(POD)");
  const mounts = [
    secretMount("server", material.server, "/tls/server"),
    secretMount("peer", material.peer, "/tls/peer"),
    configMapMount("trust", material.trust, "/trust/client"),
    configMapMount("peer-trust", material.peerTrust, "/trust/peer"),
  ];
  const probe = (path: string) => ({ httpGet: { path, port: etcdPorts.status } });
  const started = (variable: string, key: string) => ({
    name: variable,
    valueFrom: { configMapKeyRef: { name: etcdStartName(name), key } },
  });
  return {
    metadata: { name, namespace: args.namespace, labels: labelsOf(name) },
    spec: {
      serviceName: names.headless,
      replicas: args.replicas,
      podManagementPolicy: "Parallel",
      selector: { matchLabels: matchLabelsOf(name) },
      persistentVolumeClaimRetentionPolicy: {
        whenDeleted: args.keepData === false ? "Delete" : "Retain",
        whenScaled: "Retain",
      },
      template: {
        metadata: { labels: labelsOf(name), annotations: material.annotations },
        spec: {
          ...restrictedPod(name, uid),
          ...spreadOverNodes(name, mostMembers),
          containers: [
            {
              name: "etcd",
              image: args.image,
              securityContext: restrictedContainer,
              resources: resources("100m", "128Mi", "1Gi"),
              env: [
                { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
                started("ETCD_INITIAL_CLUSTER", startEntries.cluster),
                started("ETCD_INITIAL_CLUSTER_STATE", startEntries.state),
              ],
              command: ["/usr/local/bin/etcd"],
              args: [
                "--name=$(POD)",
                "--data-dir=/data/etcd",
                `--listen-client-urls=https://0.0.0.0:${etcdPorts.client}`,
                `--advertise-client-urls=https://${self}:${etcdPorts.client}`,
                `--listen-peer-urls=https://0.0.0.0:${etcdPorts.peer}`,
                `--initial-advertise-peer-urls=${etcdPeerUrl(name, args.namespace, "$(POD)")}`,
                `--initial-cluster-token=${args.namespace}-${name}`,
                "--client-cert-auth",
                "--cert-file=/tls/server/tls.crt",
                "--key-file=/tls/server/tls.key",
                "--trusted-ca-file=/trust/client/ca.crt",
                "--peer-client-cert-auth",
                "--peer-cert-file=/tls/peer/tls.crt",
                "--peer-key-file=/tls/peer/tls.key",
                "--peer-trusted-ca-file=/trust/peer/ca.crt",
                `--tls-min-version=${tlsVersions[0].replace("v", "")}`,
                // Of TLS 1.2, for clients and peers; etcd has no options for curves and sessions.
                `--cipher-suites=${standardSuites.join(",")}`,
                // Health and metrics only: kubelet's probes carry no certificate.
                `--listen-metrics-urls=http://0.0.0.0:${etcdPorts.status}`,
                `--quota-backend-bytes=${quotaFor(args.storage)}`,
                "--auto-compaction-mode=periodic",
                "--auto-compaction-retention=1h",
              ],
              ports: Object.entries(etcdPorts).map(([portName, containerPort]) => ({ name: portName, containerPort })),
              startupProbe: { ...probe("/readyz"), periodSeconds: 1, failureThreshold: 120 },
              readinessProbe: { ...probe("/readyz"), periodSeconds: 2 },
              livenessProbe: { ...probe("/livez"), periodSeconds: 10, failureThreshold: 6 },
              volumeMounts: [{ name: "data", mountPath: "/data" }, ...mounts.map(({ mount }) => mount)],
            },
          ],
          volumes: mounts.map(({ volume }) => volume),
        },
      },
      volumeClaimTemplates: [
        {
          metadata: { name: "data" },
          spec: {
            accessModes: ["ReadWriteOnce"],
            resources: { requests: { storage: args.storage } },
            ...(args.storageClass ? { storageClassName: args.storageClass } : {}),
          },
        },
      ],
    },
  };
}

/** Traffic among members: the peer port, and DNS. Other callers open their own edges. */
export function etcdMembersPolicy(name: string, args: Pick<EtcdPlanArgs, "namespace">) {
  const members = podsOf(name, args.namespace);
  const between = { peers: [peer(members, members)], ports: [tcp(etcdPorts.peer)] };
  return networkPolicy(`${name}-members`, members, {
    ingress: [{ from: between.peers, ports: between.ports }],
    egress: [{ to: between.peers, ports: between.ports }, toNameService],
  });
}

/** Mebibytes that the log may take: five files of 64 MiB are kept besides the one being written. */
const logSize = 6 * 64;

/**
 * Size of etcd's database, in bytes, at which it stops taking writes: besides its log, a volume must hold the database and the copy
 * that etcd makes of it for a member or to defragment it. etcd's own default of 2 GiB would fill a smaller volume first, and a full
 * one ends the member. At most the 8 GiB that etcd recommends.
 */
export function quotaFor(storage: string): number {
  return Math.min((mebibytes(storage) - logSize) / 2, 8 * 1024) * 1024 ** 2;
}
