// Plans APISIX's Deployment: the official image under Pod Security `restricted`, with a root file system that cannot be written.

import type { CertSecretRef, TrustRef } from "@mtls-everywhere/vocabulary/planes";
import { apisixPorts } from "@mtls-everywhere/vocabulary/ports";
import type * as pulumi from "@pulumi/pulumi";

import { apisixPaths, clientCertificate } from "./apisixConfig.ts";
import { networkPolicy, podsOf, tcp, toNameService } from "./edges.ts";
import { type KeyNames, startedWithKeys } from "./keyNames.ts";
import { hasPlainHttp, noPlainHttp, type PlainHttp } from "./plainHttp.ts";
import { renewerSidecar } from "./renewer.ts";
import {
  configMapMount,
  labelsOf,
  leavingFirst,
  matchLabelsOf,
  type Mountable,
  type PodAnnotations,
  resources,
  restrictedContainer,
  restrictedPod,
  secretMount,
  spreadOverNodes,
  upstreamLabel,
  withoutGap,
} from "./workload.ts";

/** User id of `apisix` in the official image, which sets its user by name only. */
const uid = 636;

/** Folders of the image that APISIX writes to; each becomes part of one scratch volume. */
const writable = ["conf", "logs", "client_body_temp", "proxy_temp", "fastcgi_temp", "uwsgi_temp", "scgi_temp"] as const;

/** What its objects are planned from. */
export interface ApisixPlanArgs {
  /** Namespace of its objects. */
  readonly namespace: string;
  /** Gateway pods. */
  readonly replicas: number;
  /** Type of the gateway's Service. */
  readonly serviceType: "ClusterIP" | "LoadBalancer";
  /** Annotations of the gateway's Service. */
  readonly serviceAnnotations: Readonly<Record<string, string>>;
  /**
   * Hosts of a listener without TLS.
   * @default there is none
   */
  readonly plainHttp?: PlainHttp;
  /** APISIX's image. */
  readonly image: string;
  /** Node.js, and a shell: the renewer's program comes from a ConfigMap. */
  readonly renewerImage: string;
  /** Its keys other than those of certificates. */
  readonly keys: KeyNames;
}

/** What the pods mount, once it is issued. */
export interface ApisixMaterial {
  readonly etcdLeaf: Mountable<CertSecretRef<"etcd">>;
  readonly adminLeaf: Mountable<CertSecretRef<"admin">>;
  readonly upstreamLeaf: Mountable<CertSecretRef<"upstream">>;
  readonly renewerLeaf: Mountable<CertSecretRef<"admin">>;
  readonly etcdTrust: Mountable<TrustRef<"etcd">>;
  readonly adminTrust: Mountable<TrustRef<"admin">>;
  readonly upstreamTrust: Mountable<TrustRef<"upstream">>;
  /** What they seal with, as objects' labels name it. */
  readonly sealedBy: pulumi.Input<string>;
  /** What the pods read only when they start: config.yaml, the secrets in their environment, roots. */
  readonly annotations: PodAnnotations;
}

/** The Service that clients reach the gateway through. */
export function apisixService(
  name: string,
  args: Pick<ApisixPlanArgs, "namespace" | "serviceType" | "serviceAnnotations" | "plainHttp">,
) {
  const plain = openPlain(args).map((targetPort) => ({ name: "http", port: 80, targetPort }));
  return {
    metadata: {
      name,
      namespace: args.namespace,
      labels: labelsOf(name),
      // The Deployment already waits for ready pods, and progress/address.ts for the external address, with a warning.
      annotations: { "pulumi.com/skipAwait": "true", ...args.serviceAnnotations },
    },
    spec: {
      type: args.serviceType,
      selector: matchLabelsOf(name),
      ports: [{ name: "https", port: 443, targetPort: apisixPorts.gateway }, ...plain],
    },
  };
}

/** The port without TLS, if it is open. */
function openPlain({ plainHttp = noPlainHttp }: Pick<ApisixPlanArgs, "plainHttp">): number[] {
  return hasPlainHttp(plainHttp) ? [apisixPorts.plain] : [];
}

/** The Deployment. */
export function apisixDeployment(
  name: string,
  args: Omit<ApisixPlanArgs, "serviceType" | "serviceAnnotations">,
  material: ApisixMaterial,
) {
  const { home } = apisixPaths;
  const mounts = [
    secretMount("etcd-leaf", material.etcdLeaf, apisixPaths.etcdLeaf),
    secretMount("admin-leaf", material.adminLeaf, apisixPaths.adminLeaf),
    secretMount("upstream-leaf", material.upstreamLeaf, apisixPaths.upstreamLeaf),
    configMapMount("etcd-trust", material.etcdTrust, apisixPaths.etcdTrust),
    configMapMount("admin-trust", material.adminTrust, apisixPaths.adminTrust),
    configMapMount("upstream-trust", material.upstreamTrust, apisixPaths.upstreamTrust),
  ];
  const renewer = renewerSidecar(name, args, material.renewerLeaf, material.sealedBy);
  const config = configMapMount("config", { name: `${name}-config` }, "/config");
  const scratch = (root: string) =>
    writable.map((folder) => ({ name: "scratch", mountPath: `${root}/${folder}`, subPath: folder }));
  const copyHome = [
    `cp -r ${home}/conf/. /scratch/conf/`,
    // They must be among the files that APISIX itself writes, and a subPath mount of them would never update.
    `cp /config/config.yaml /config/${clientCertificate.name} /scratch/conf/`,
    "ln -sf /dev/stdout /scratch/logs/access.log",
    "ln -sf /dev/stderr /scratch/logs/error.log",
  ];
  return {
    metadata: { name, namespace: args.namespace, labels: labelsOf(name) },
    spec: {
      replicas: args.replicas,
      strategy: withoutGap,
      selector: { matchLabels: matchLabelsOf(name) },
      template: {
        metadata: { labels: labelsOf(name), annotations: { ...material.annotations, ...startedWithKeys(args.keys) } },
        spec: {
          ...restrictedPod(name, uid),
          ...spreadOverNodes(name, args.replicas),
          initContainers: [
            {
              name: "home",
              image: args.image,
              command: ["sh", "-c", copyHome.join(" && ")],
              securityContext: restrictedContainer,
              resources: resources("50m", "32Mi", "128Mi"),
              volumeMounts: [...scratch("/scratch"), config.mount],
            },
            renewer.container,
          ],
          containers: [
            {
              name: "apisix",
              image: args.image,
              securityContext: restrictedContainer,
              resources: resources("100m", "128Mi", "1Gi"),
              envFrom: [{ secretRef: { name: `${name}-env` } }],
              ports: [
                { name: "gateway", containerPort: apisixPorts.gateway },
                ...openPlain(args).map((containerPort) => ({ name: "plain", containerPort })),
                { name: "status", containerPort: apisixPorts.status },
              ],
              startupProbe: {
                httpGet: { path: "/status", port: apisixPorts.status },
                periodSeconds: 1,
                failureThreshold: 60,
              },
              readinessProbe: { httpGet: { path: "/status/ready", port: apisixPorts.status }, periodSeconds: 1 },
              livenessProbe: { httpGet: { path: "/status", port: apisixPorts.status }, periodSeconds: 10 },
              // On busy nodes, 3 s and 5 s were too few once each: one of 25,603 and of 14,981 connections came to a closed port.
              ...leavingFirst(10),
              volumeMounts: [...scratch(home), { name: "tmp", mountPath: "/tmp" }, ...mounts.map(({ mount }) => mount)],
            },
          ],
          volumes: [
            { name: "scratch", emptyDir: {} },
            { name: "tmp", emptyDir: {} },
            config.volume,
            ...mounts.map(({ volume }) => volume),
            ...renewer.volumes,
          ],
        },
      },
    },
  };
}

/** What the gateway may do besides talking to its store. */
export function gatewayPolicy(name: string, args: Pick<ApisixPlanArgs, "namespace" | "plainHttp">) {
  return networkPolicy(`${name}-gateway`, podsOf(name, args.namespace), {
    // Clients come from anywhere: the gateway's mutual TLS tells them apart.
    ingress: [{ ports: [apisixPorts.gateway, ...openPlain(args)].map(tcp) }],
    // Upstreams of any team, by a label that they set themselves; the port is up to them.
    egress: [{ to: [{ namespaceSelector: {}, podSelector: { matchLabels: upstreamLabel } }] }, toNameService],
  });
}
