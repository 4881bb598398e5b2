// The way out: an nginx between the gateway and services outside the platform, which verifies each against that one's own authorities.

import type { UpstreamEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type { CertSecretRef, TrustRef } from "@mtls-everywhere/vocabulary/planes";
import { nginxPort } from "@mtls-everywhere/vocabulary/ports";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { Certificate } from "./certificate.ts";
import type { PlaneAuthority } from "./certificateAuthority.ts";
import { createPolicy, networkPolicy, peer, podsOf, tcp, toNameService } from "./edges.ts";
import { egressCommand, egressConfig, egressName, egressPaths, rootsFile } from "./egressConfig.ts";
import type { Gateway } from "./gateway.ts";
import { nginxAnnotations, nginxEndpoint, nginxPods, nginxService } from "./nginxServer.ts";
import { checkServices, clientSecret, networksOf, type OutsideServices, portOf } from "./outsideServices.ts";
import {
  configMapMount,
  disruptionBudget,
  labelsOf,
  type Mountable,
  type PodAnnotations,
  secretMount,
  waitAtMost,
} from "./workload.ts";

/** Which services an egress proxy forwards to, and for whom. */
export interface EgressProxyArgs<Service extends string> {
  /** Who signs the leaves that the gateway sees, and the trust bundle that the gateway's own chains to, in its own namespace. */
  readonly authority: PlaneAuthority<"upstream">;
  /** Namespace of its objects. */
  readonly namespace: string;
  /** The gateway in front of it: nobody else is answered, by certificate or on the network. */
  readonly gateway: Pick<Gateway, "pods" | "identities" | "upstreamCertificate">;
  /** The services that it forwards to, each by a name of your choice; nothing else can be reached. */
  readonly services: OutsideServices<Service>;
  /** nginx's image; it needs a shell with `sed` and `sleep`. */
  readonly image: string;
  /**
   * Its pods.
   * @default 1
   */
  readonly replicas?: number;
  /**
   * How long its pods may take to become ready.
   * @default `5m`
   */
  readonly readyTimeout?: string;
}

/**
 * An nginx through which the gateway reaches HTTPS services outside the platform. Each is verified by its name and against its own
 * authorities, which the gateway could not do: it trusts the upstream plane alone. A service never sees a leaf of the platform, and only
 * these pods may connect to the outside. A service that fails the check is answered for with 502.
 * @example
 * const egress = new EgressProxy("egress", {
 *   authority: pki.upstream,
 *   namespace: "mtls",
 *   gateway: apisix,
 *   services: { payments: { host: "api.payments.example", roots: readFileSync("payments-ca.pem", "utf8") } },
 *   image,
 * });
 * // In a site's routes:
 * const routes = { payments: { uris: ["/payments/*"], service: egress.upstreams.payments } };
 * @throws RunError when a service cannot be reached or verified as it is described.
 */
export class EgressProxy<Service extends string = string> extends pulumi.ComponentResource {
  /** How APISIX reaches each service: what a site's route takes. Known once the proxy is ready. */
  readonly upstreams: { readonly [S in Service]: pulumi.Output<UpstreamEndpoint> };

  constructor(name: string, args: EgressProxyArgs<Service>, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:EgressProxy", name, {}, opts);
    checkServices(name, args.services);
    const child = { parent: this };
    const { authority, namespace, gateway } = args;
    const services: OutsideServices = args.services;
    const meta = { name, namespace, labels: labelsOf(name) };

    // One for each service, so that another service's arrival reissues none.
    const leaves = Object.keys(services).map((service) => {
      const dnsNames = [egressName(name, namespace, service)];
      const leaf = { authority, namespace, serviceAccount: name, usages: ["server auth"], dnsNames } as const;
      return [service, new Certificate(`${name}-${service}`, leaf, child).secret] as const;
    });
    const clients = Object.entries(services).flatMap(([service, { clientCertificate: given }]) => {
      if (given === undefined) return [];
      const secret = pulumi.output(given).apply((ref) => clientSecret(name, namespace, service, ref));
      return [[service, secret] as const];
    });
    new k8s.core.v1.ServiceAccount(name, { metadata: meta, automountServiceAccountToken: false }, child);
    const settings = {
      "nginx.conf": egressConfig(name, args, gateway.identities),
      ...Object.fromEntries(Object.entries(services).map(([service, { roots }]) => [rootsFile(service), roots])),
    };
    const config = new k8s.core.v1.ConfigMap(
      `${name}-config`,
      { metadata: { ...meta, name: `${name}-config` }, data: settings },
      child,
    );
    const service = new k8s.core.v1.Service(name, nginxService(name, namespace), child);
    if ((args.replicas ?? 1) > 1) new k8s.policy.v1.PodDisruptionBudget(name, disruptionBudget(name, namespace), child);
    for (const policy of egressPolicies(name, args)) createPolicy(policy, child);
    const material = {
      leaves: Object.fromEntries(leaves),
      clients: Object.fromEntries(clients),
      trust: authority.trust,
      annotations: nginxAnnotations(settings, authority),
    };
    const deployment = new k8s.apps.v1.Deployment(name, egressDeployment(name, args, material), {
      ...child,
      ...waitAtMost(args.readyTimeout ?? "5m"),
      dependsOn: [service, config],
    });

    const endpoint = (service: string) =>
      nginxEndpoint(name, egressName(name, namespace, service), args, deployment.metadata);
    const upstreams = Object.fromEntries(Object.keys(services).map((service) => [service, endpoint(service)]));
    this.upstreams = upstreams as EgressProxy<Service>["upstreams"];
    this.registerOutputs({ upstreams: this.upstreams });
  }
}

/** What its pods mount, once it is there; leaves and client certificates by service. */
export interface EgressMaterial {
  readonly leaves: Readonly<Record<string, Mountable<CertSecretRef<"upstream">>>>;
  readonly clients: Readonly<Record<string, Mountable<{ readonly name: string }>>>;
  readonly trust: Mountable<TrustRef<"upstream">>;
  /** What nginx reads only when it starts: its configuration, and all roots. */
  readonly annotations: PodAnnotations;
}

/** Only the gateway may reach it, and it alone may leave the platform: to the services' networks and ports. */
export function egressPolicies(
  name: string,
  {
    namespace,
    gateway,
    services,
  }: Pick<EgressProxyArgs<string>, "namespace" | "services"> & { readonly gateway: Pick<Gateway, "pods"> },
) {
  const pods = podsOf(name, namespace);
  const outwards = Object.values(services).map((service) => ({
    to: networksOf(service).map((cidr) => ({ ipBlock: { cidr } })),
    ports: [tcp(portOf(service))],
  }));
  const ingress = [{ from: [peer(gateway.pods, pods)], ports: [tcp(nginxPort)] }];
  return [
    networkPolicy(`${name}-from-${gateway.pods.name}`, pods, { ingress }),
    networkPolicy(`${name}-outwards`, pods, { egress: [toNameService, ...outwards] }),
  ];
}

/** The Deployment. */
export function egressDeployment(
  name: string,
  { namespace, image, replicas = 1 }: Pick<EgressProxyArgs<string>, "namespace" | "image" | "replicas">,
  { leaves, clients, trust, annotations }: EgressMaterial,
) {
  const run = { namespace, image, replicas, command: egressCommand, memoryLimit: "256Mi", annotations };
  return nginxPods(name, run, [
    configMapMount("config", { name: `${name}-config` }, egressPaths.config),
    configMapMount("trust", trust, egressPaths.trust),
    ...Object.entries(leaves).map(([service, leaf]) => secretMount(`${service}-leaf`, leaf, egressPaths.leaf(service))),
    ...Object.entries(clients).map(([service, client]) =>
      secretMount(`${service}-client`, client, egressPaths.client(service)),
    ),
  ]);
}
