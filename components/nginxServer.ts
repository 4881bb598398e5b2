// What every nginx on the upstream plane has: pods, and an nginx.conf with mutual TLS and an answer for named callers alone.

import type { UpstreamEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import { type Identity, subjectOf } from "@mtls-everywhere/vocabulary/identities";
import { nginxPort } from "@mtls-everywhere/vocabulary/ports";
import { curves, openSslSuites, sessions, tlsVersions } from "@mtls-everywhere/vocabulary/tlsPolicy";
import * as pulumi from "@pulumi/pulumi";

import type { PlaneAuthority } from "./certificateAuthority.ts";
import type { Gateway } from "./gateway.ts";
import { leavesMap, liveLeaf } from "./liveLeaf.ts";
import {
  type configMapMount,
  labelsOf,
  leavingFirst,
  matchLabelsOf,
  type PodAnnotations,
  resources,
  restrictedContainer,
  restrictedPod,
  rolledBy,
  type secretMount,
  selectorOf,
  serving,
  settingsDigest,
  spreadOverNodes,
  startedWith,
  upstreamLabel,
  withoutGap,
} from "./workload.ts";

/** User id of nginx in its official image. */
const uid = 101;

/** Where every one of them finds its configuration and its callers' roots, and where it may write. */
export const nginxFolders = { config: "/etc/nginx-mtls", trust: "/trust", scratch: "/tmp" } as const;

/**
 * Seconds that a terminating pod keeps answering, and those after which its connections are closed with their next answer.
 * The gateway pools connections: those that outlived the pod would break under a request in flight. Announced in an answer,
 * their end is seen in time, and the rest of the pause lets a pod's removal reach every proxy.
 */
export const nginxDrain = { pause: 5, connections: 3 } as const;

/** Bytes for a map's key: nginx does not start with a key over its default of 64, and a subject has up to 200 characters. */
const longestCaller = 256;

/** Where nginx writes, below a folder: as an ordinary user, it cannot write where it would by default. */
export function tempPaths(folder: string): string[] {
  return ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`);
}

/** The whole file around these servers, each of which begins with `mutualTls`. Lines of `more` stand before them. */
export function nginxProgram(
  callers: readonly Identity[],
  image: string,
  servers: readonly string[],
  more: readonly string[] = [],
): string {
  const allowed = callers.map((caller) => `    "${subjectOf(caller)}" 1;`);
  return `worker_processes 1;
pid ${nginxFolders.scratch}/nginx.pid;
error_log /dev/stderr notice;
events {}
http {
  access_log /dev/stdout;
  server_tokens off;
  keepalive_time ${nginxDrain.connections}s;
  ${tempPaths(nginxFolders.scratch).join("\n  ")}
  map_hash_bucket_size ${longestCaller};
  map $ssl_client_s_dn $caller_allowed {
    default 0;
${allowed.join("\n")}
  }
  ${[leavesMap, ...(knowsCertificateCache(image) ? ["ssl_certificate_cache max=8 valid=1s;"] : []), ...more].join("\n  ")}
${servers.map((server) => `  server {\n${server}\n  }`).join("\n")}
}
`;
}

/**
 * A server's first lines: TLS that requires the caller's certificate, then a comparison of the caller's whole subject
 * (nginx sees subjects, not SANs). Sessions are not resumed: one made under a withdrawn root would live on.
 */
export function mutualTls(leafFolder: string, parameters = ""): string {
  const leaf = liveLeaf(leafFolder);
  return `    listen ${nginxPort} ssl${parameters};
    ssl_certificate ${leaf.cert};
    ssl_certificate_key ${leaf.key};
    ssl_client_certificate ${nginxFolders.trust}/ca.crt;
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_protocols ${tlsVersions.join(" ")};
    ssl_ciphers ${openSslSuites.join(":")};
    ssl_ecdh_curve ${curves.join(":")};
    ssl_session_cache ${sessions.cache};
    ssl_session_tickets ${sessions.tickets};
    if ($caller_allowed = 0) {
      return 403;
    }`;
}

/** How one of them runs. */
export interface NginxPods {
  readonly namespace: string;
  readonly image: string;
  readonly replicas: number;
  readonly command: readonly string[];
  /** Such as `128Mi`. */
  readonly memoryLimit: string;
  /** What nginx reads only when it starts. */
  readonly annotations: PodAnnotations;
}

/** The Deployment, with these volumes and a place to write. */
export function nginxPods(
  name: string,
  { namespace, image, replicas, command, memoryLimit, annotations }: NginxPods,
  mounted: readonly (ReturnType<typeof configMapMount> | ReturnType<typeof secretMount>)[],
) {
  const scratch = {
    volume: { name: "scratch", emptyDir: {} },
    mount: { name: "scratch", mountPath: nginxFolders.scratch },
  };
  const mounts = [...mounted, scratch];
  // A probe cannot present a certificate, so it only asks whether the port is open.
  const probe = { tcpSocket: { port: nginxPort } };
  return {
    metadata: { name, namespace, labels: labelsOf(name) },
    spec: {
      replicas,
      strategy: withoutGap,
      selector: { matchLabels: matchLabelsOf(name) },
      template: {
        metadata: { labels: { ...labelsOf(name), ...upstreamLabel }, annotations },
        spec: {
          ...restrictedPod(name, uid),
          ...spreadOverNodes(name, replicas),
          containers: [
            {
              name: "nginx",
              image,
              command: [...command],
              securityContext: restrictedContainer,
              resources: resources("50m", "32Mi", memoryLimit),
              ports: [{ name: "https", containerPort: nginxPort }],
              readinessProbe: { ...probe, periodSeconds: 1 },
              livenessProbe: { ...probe, periodSeconds: 10 },
              ...leavingFirst(nginxDrain.pause),
              volumeMounts: mounts.map(({ mount }) => mount),
            },
          ],
          volumes: mounts.map(({ volume }) => volume),
        },
      },
    },
  };
}

/** What nginx reads only when it starts, so that a change rolls the pods: its settings, and the roots of the plane. */
export function nginxAnnotations(
  settings: Readonly<Record<string, string>>,
  { roots }: Pick<PlaneAuthority<"upstream">, "roots">,
) {
  return {
    ...rolledBy(settingsDigest(settings)),
    ...serving({ upstream: nginxPort }),
    ...startedWith({ upstream: roots }),
  };
}

/** The Service in front of them; the Deployment is what an update waits for. */
export function nginxService(name: string, namespace: string) {
  return {
    metadata: { name, namespace, labels: labelsOf(name), annotations: { "pulumi.com/skipAwait": "true" } },
    spec: { selector: matchLabelsOf(name), ports: [{ name: "https", port: 443, targetPort: nginxPort }] },
  };
}

/** The Service's name in the cluster. */
export function nginxHost(name: string, namespace: string): string {
  return `${name}.${namespace}.svc`;
}

/** How APISIX reaches them, and verifies them by this name; known once `ready` is. */
export function nginxEndpoint(
  name: string,
  serverName: string,
  {
    namespace,
    authority,
    gateway,
  }: {
    readonly namespace: string;
    readonly authority: Pick<PlaneAuthority<"upstream">, "trust">;
    readonly gateway: Pick<Gateway, "upstreamCertificate">;
  },
  ready: pulumi.Output<unknown>,
): pulumi.Output<UpstreamEndpoint> {
  return pulumi
    .all([authority.trust, gateway.upstreamCertificate, ready])
    .apply(([trust, clientCertificate]): UpstreamEndpoint => ({
      ...{ node: { host: nginxHost(name, namespace), port: 443 }, serverName, trust, clientCertificate },
      pods: { namespace, selector: selectorOf(name), port: nginxPort, serverName },
    }));
}

/**
 * Whether the image's nginx can cache an opened leaf for a second, by its tag: 1.27.4 is the first, and older ones do not start with
 * the directive. Opening it at every handshake costs nearly half of them with OpenSSL 3.0.
 */
export function knowsCertificateCache(image: string): boolean {
  const [, major, minor, patch] =
    /(?:^|\/)nginx(?:-unprivileged)?:(\d+)\.(\d+)(?:\.(\d+))?(?:[-@]|$)/.exec(image) ?? [];
  const version = [major, minor, patch ?? 0].map(Number);
  const first = [1, 27, 4];
  const differs = first.findIndex((part, at) => part !== version[at]);
  return differs < 0 || version[differs]! > first[differs]!;
}
