// A plane's certificate authority: a self-signed root in the cluster, the issuer that signs with it, its trust bundle.

import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import type { KeyAlgorithm } from "../config.ts";
import { type LeafAuthority, privateKey } from "./certificate.ts";
import { type IssuerRef, type Plane, planes, sharedPlanes, type TrustRef } from "./planes.ts";
import { RootCertificates } from "./rootCertificates.ts";
import { TrustBundle } from "./trustBundle.ts";

/** Where a plane's root comes from. `cluster`: made and kept by cert-manager, its key never leaves the cluster. */
export interface ClusterRoot {
  readonly kind: "cluster";
}

export interface CertificateAuthorityArgs<P extends Plane> {
  readonly plane: P;
  readonly root: ClusterRoot;
  /** The platform's namespace: of a namespaced issuer, and of the trust bundle. */
  readonly namespace: string;
  /** Where ClusterIssuers find their Secrets: cert-manager's own namespace. */
  readonly clusterResourceNamespace: pulumi.Input<string>;
  readonly cluster: string;
  readonly trustDomain: string;
  readonly algorithm: KeyAlgorithm;
  /** Lifetime of the root, such as `87600h`. */
  readonly rootDuration: string;
  /** Lifetime of leaves, such as `24h`. */
  readonly leafDuration: string;
}

/** One plane's authority. A plane that other teams use has a ClusterIssuer, the others an Issuer in the platform's namespace. */
export class CertificateAuthority<P extends Plane> extends pulumi.ComponentResource implements LeafAuthority<P> {
  readonly issuer: pulumi.Output<IssuerRef<P>>;
  readonly trust: pulumi.Output<TrustRef<P>>;
  /** The plane's roots in PEM: public. */
  readonly roots: pulumi.Output<string>;
  readonly plane: P;
  readonly trustDomain: string;
  readonly algorithm: KeyAlgorithm;
  readonly leafDuration: string;

  constructor(name: string, args: CertificateAuthorityArgs<P>, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:CertificateAuthority", name, {}, opts);
    this.plane = args.plane;
    this.trustDomain = args.trustDomain;
    this.algorithm = args.algorithm;
    this.leafDuration = args.leafDuration;

    const kind = sharedPlanes.includes(args.plane) ? "ClusterIssuer" : "Issuer";
    // Cluster-scoped names must not clash with another environment's on the same cluster.
    const prefix = kind === "ClusterIssuer" ? `${args.namespace}-${args.plane}` : args.plane;
    const keyNamespace = kind === "ClusterIssuer" ? args.clusterResourceNamespace : args.namespace;
    const place = kind === "ClusterIssuer" ? {} : { namespace: args.namespace };
    const awaited = { annotations: { "pulumi.com/waitFor": "condition=Ready" } };
    const apiVersion = "cert-manager.io/v1";

    const selfSigned = new k8s.apiextensions.CustomResource(
      `${name}-self-signed`,
      { apiVersion, kind, metadata: { name: `${prefix}-self-signed`, ...place, ...awaited }, spec: { selfSigned: {} } },
      { parent: this },
    );
    const root = new k8s.apiextensions.CustomResource(
      `${name}-root`,
      {
        apiVersion,
        kind: "Certificate",
        metadata: { name: `${prefix}-root`, namespace: keyNamespace, ...awaited },
        spec: rootSpec(`${prefix}-root`, args, { kind, name: `${prefix}-self-signed` }),
      },
      { parent: this, dependsOn: selfSigned },
    );
    const issuer = new k8s.apiextensions.CustomResource(
      `${name}-issuer`,
      {
        apiVersion,
        kind,
        metadata: { name: prefix, ...place, ...awaited },
        spec: { ca: { secretName: `${prefix}-root` } },
      },
      { parent: this, dependsOn: root },
    );
    this.issuer = issuer.metadata.apply((): IssuerRef<P> => ({
      plane: args.plane,
      kind,
      name: prefix,
      group: "cert-manager.io",
    }));

    const certificates = new RootCertificates(
      `${name}-roots`,
      {
        cluster: args.cluster,
        secrets: [pulumi.output(keyNamespace).apply((namespace) => ({ namespace, name: `${prefix}-root` }))],
      },
      { parent: this, dependsOn: root },
    );
    this.roots = certificates.pem;
    this.trust = new TrustBundle(
      `${name}-trust`,
      { plane: args.plane, namespace: args.namespace, roots: certificates.pem },
      { parent: this },
    ).trust;
    this.registerOutputs({ issuer: this.issuer, trust: this.trust, roots: this.roots });
  }
}

/** The `spec` of a root's cert-manager Certificate. */
export function rootSpec(
  secretName: string,
  args: Pick<CertificateAuthorityArgs<Plane>, "plane" | "trustDomain" | "algorithm" | "rootDuration">,
  issuer: { readonly kind: string; readonly name: string },
) {
  return {
    isCA: true,
    secretName,
    // A root's key is not replaced when its certificate is renewed: leaves would no longer chain to the trust bundle.
    privateKey: { ...privateKey(args.algorithm), rotationPolicy: "Never" },
    duration: args.rootDuration,
    commonName: `${args.plane} root`,
    subject: { organizations: [args.trustDomain] },
    usages: ["cert sign", "crl sign", "digital signature"],
    issuerRef: { ...issuer, group: "cert-manager.io" },
  };
}

/** The authorities of all planes, by plane. */
export type Authorities = { readonly [P in Plane]: CertificateAuthority<P> };

/** One authority for every plane, named `<name>-<plane>`. */
export function createAuthorities(
  name: string,
  args: Omit<CertificateAuthorityArgs<Plane>, "plane">,
  opts?: pulumi.ComponentResourceOptions,
): Authorities {
  const entries = planes.map((plane) => [
    plane,
    new CertificateAuthority(`${name}-${plane}`, { ...args, plane }, opts),
  ]);
  return Object.fromEntries(entries) as Authorities;
}

/** One property of every authority, by plane. */
export function byPlane<K extends "issuer" | "trust" | "roots">(
  authorities: Authorities,
  property: K,
): { readonly [P in Plane]: CertificateAuthority<P>[K] } {
  const entries = planes.map((plane) => [plane, authorities[plane][property]]);
  return Object.fromEntries(entries) as { readonly [P in Plane]: CertificateAuthority<P>[K] };
}
