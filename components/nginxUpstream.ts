// An nginx behind the gateway that verifies its caller: the platform's example of an upstream.

import type { UpstreamEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import { type Client, identitiesOf } from "@mtls-everywhere/vocabulary/identities";
import type { CertSecretRef, TrustRef } from "@mtls-everywhere/vocabulary/planes";
import { nginxPort } from "@mtls-everywhere/vocabulary/ports";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { checkCallerList } from "./callers.ts";
import { Certificate } from "./certificate.ts";
import type { PlaneAuthority } from "./certificateAuthority.ts";
import { anyPodIn, createPolicy, networkPolicy, peer, podsOf, tcp } from "./edges.ts";
import type { Gateway } from "./gateway.ts";
import { nginxConfig, nginxPaths } from "./nginxConfig.ts";
import { nginxAnnotations, nginxEndpoint, nginxHost, nginxPods, nginxService } from "./nginxServer.ts";
import { configMapMount, labelsOf, type Mountable, type PodAnnotations, secretMount, waitAtMost } from "./workload.ts";

/** Whom an nginx answers, and with what. */
export interface NginxUpstreamArgs {
  /** Who signs its leaf, and the trust bundle that its callers chain to, in its own namespace. */
  readonly authority: PlaneAuthority<"upstream">;
  /** Namespace of its objects. */
  readonly namespace: string;
  /** The gateway in front of it: but for whom `allow` names, nobody else is answered, by certificate or on the network. */
  readonly gateway: Pick<Gateway, "pods" | "identities" | "upstreamCertificate">;
  /**
   * Who may call it besides the gateway: clients by the identity in their leaf of the upstream plane, from the pods of their
   * namespaces. Everyone else is answered with 403. A change rolls its pods, and drops no request.
   * @default nobody
   */
  readonly allow?: readonly Client[];
  /** What it serves, by file name; `index.json` is the index. */
  readonly files: Readonly<Record<string, string>>;
  /** nginx's image. */
  readonly image: string;
  /**
   * How long its pods may take to become ready.
   * @default `5m`
   */
  readonly readyTimeout?: string;
}

/**
 * An nginx behind the gateway: it serves files over mutual TLS, answers only its callers, reads a renewed leaf at the next handshake
 * and rolls without a dropped request.
 * @throws RunError when `allow` is not a list of clients that leaves can name.
 * @example
 * const shop = new NginxUpstream("shop", {
 *   authority: platform.authorityFor("upstream", "shop"),
 *   namespace: "shop",
 *   gateway: platform.apisix,
 *   files: { "shop.json": '{ "shop": "open" }' },
 *   image,
 * });
 */
export class NginxUpstream extends pulumi.ComponentResource {
  /** How APISIX reaches and verifies it; known once it is ready. */
  readonly upstream: pulumi.Output<UpstreamEndpoint>;
  /** Its own leaf. */
  readonly certificate: pulumi.Output<CertSecretRef<"upstream">>;

  constructor(name: string, args: NginxUpstreamArgs, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:NginxUpstream", name, {}, opts);
    const child = { parent: this };
    const { namespace, gateway, allow = [] } = args;
    checkCallerList(`NginxUpstream "${name}"`, allow);
    const trustDomains = gateway.identities.map(({ trustDomain }) => trustDomain);
    const callers = [...gateway.identities, ...identitiesOf(allow, trustDomains)];
    const host = nginxHost(name, namespace);
    const meta = { name, namespace, labels: labelsOf(name) };

    const leaf = new Certificate(
      `${name}-server`,
      { authority: args.authority, namespace, serviceAccount: name, usages: ["server auth"], dnsNames: [name, host] },
      child,
    );
    new k8s.core.v1.ServiceAccount(name, { metadata: meta, automountServiceAccountToken: false }, child);
    const settings = { "nginx.conf": nginxConfig(callers, args.image) };
    const config = new k8s.core.v1.ConfigMap(
      `${name}-config`,
      { metadata: { ...meta, name: `${name}-config` }, data: settings },
      child,
    );
    const files = new k8s.core.v1.ConfigMap(
      `${name}-files`,
      { metadata: { ...meta, name: `${name}-files` }, data: args.files },
      child,
    );
    const service = new k8s.core.v1.Service(name, nginxService(name, namespace), child);
    createPolicy(nginxPolicy(name, args), child);
    if (allow.length > 0) createPolicy(callersPolicy(name, namespace, allow), child);
    const deployment = new k8s.apps.v1.Deployment(
      name,
      nginxDeployment(name, args, {
        leaf: leaf.secret,
        trust: args.authority.trust,
        annotations: nginxAnnotations(settings, args.authority),
      }),
      { ...child, ...waitAtMost(args.readyTimeout ?? "5m"), dependsOn: [service, config, files] },
    );

    this.certificate = leaf.secret;
    this.upstream = nginxEndpoint(name, host, args, deployment.metadata);
    this.registerOutputs({ upstream: this.upstream });
  }
}

/** What its pods mount, once it is issued. */
export interface NginxMaterial {
  readonly leaf: Mountable<CertSecretRef<"upstream">>;
  readonly trust: Mountable<TrustRef<"upstream">>;
  /** What nginx reads only when it starts: its configuration, and the callers' roots; files are read each time. */
  readonly annotations: PodAnnotations;
}

/** Only the gateway may reach it, whose own end is open to all upstreams, and it may reach nobody. */
export function nginxPolicy(
  name: string,
  { namespace, gateway }: { readonly namespace: string; readonly gateway: Pick<Gateway, "pods"> },
) {
  const pods = podsOf(name, namespace);
  return networkPolicy(`${name}-from-${gateway.pods.name}`, pods, {
    ingress: [{ from: [peer(gateway.pods, pods)], ports: [tcp(nginxPort)] }],
    egress: [],
  });
}

/**
 * Lets in pods of the callers' namespaces: the network knows neither service accounts nor who a pod is, their certificates do. A
 * caller's own end is up to its namespace.
 */
export function callersPolicy(name: string, namespace: string, callers: readonly Client[]) {
  const from = [...new Set(callers.map((caller) => caller.namespace))].sort().map(anyPodIn);
  return networkPolicy(`${name}-from-callers`, podsOf(name, namespace), {
    ingress: [{ from, ports: [tcp(nginxPort)] }],
  });
}

/** The Deployment. */
export function nginxDeployment(
  name: string,
  { namespace, image }: Pick<NginxUpstreamArgs, "namespace" | "image">,
  { leaf, trust, annotations }: NginxMaterial,
) {
  const command = ["nginx", "-c", `${nginxPaths.config}/nginx.conf`, "-g", "daemon off;"];
  return nginxPods(name, { namespace, image, replicas: 1, command, memoryLimit: "128Mi", annotations }, [
    configMapMount("config", { name: `${name}-config` }, nginxPaths.config),
    configMapMount("files", { name: `${name}-files` }, nginxPaths.files),
    secretMount("leaf", leaf, nginxPaths.leaf),
    configMapMount("trust", trust, nginxPaths.trust),
  ]);
}
