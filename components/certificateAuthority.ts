// A plane's certificate authority: its root, the issuer that signs its leaves, its trust bundle.

import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import type { KeyAlgorithm } from "../config.ts";
import type { LeafAuthority } from "./certificate.ts";
import { type ClusterRoot, createClusterRoot } from "./clusterRoot.ts";
import { type IssuerRef, type Plane, planes, sharedPlanes, type TrustRef } from "./planes.ts";
import { createStateHeldRoots, type StateHeldRootsSource } from "./stateHeldRoots.ts";
import { TrustBundle } from "./trustBundle.ts";

export interface CertificateAuthorityArgs<P extends Plane> {
  readonly plane: P;
  readonly root: ClusterRoot | StateHeldRootsSource;
  /** The platform's namespace: of a namespaced issuer, and of the trust bundle. */
  readonly namespace: string;
  /** Where ClusterIssuers find their Secrets: cert-manager's own namespace. */
  readonly clusterResourceNamespace: string;
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

    const place = issuerPlace(args);
    const child = { parent: this };
    const signing =
      args.root.kind === "cluster"
        ? createClusterRoot(name, args, place, child)
        : createStateHeldRoots(name, args, args.root, place, child);
    const { kind, prefix } = place;
    const issuer = new k8s.apiextensions.CustomResource(
      `${name}-issuer`,
      {
        apiVersion: "cert-manager.io/v1",
        kind,
        metadata: { name: prefix, ...place.metadata, annotations: { "pulumi.com/waitFor": "condition=Ready" } },
        spec: { ca: { secretName: signing.secretName } },
      },
      { ...child, dependsOn: signing.ready },
    );
    this.issuer = issuer.metadata.apply((): IssuerRef<P> => ({
      plane: args.plane,
      kind,
      name: prefix,
      group: "cert-manager.io",
    }));

    this.roots = signing.roots;
    this.trust = new TrustBundle(
      `${name}-trust`,
      { plane: args.plane, namespace: args.namespace, roots: signing.roots },
      child,
    ).trust;
    this.registerOutputs({ issuer: this.issuer, trust: this.trust, roots: this.roots });
  }
}

/** Where a plane's issuer and its key live. */
export interface IssuerPlace {
  readonly kind: IssuerRef["kind"];
  /** Name of the issuer, and beginning of its other objects' names. */
  readonly prefix: string;
  /** Namespace of the issuer, where it has one. */
  readonly metadata: { readonly namespace?: string };
  /** Namespace of the Secret that it signs with. */
  readonly keyNamespace: string;
}

/** What an issuer signs with, and whom to trust for it. */
export interface SigningPair {
  readonly secretName: string;
  /** Root certificates in PEM. */
  readonly roots: pulumi.Output<string>;
  /** Exists once the Secret does. */
  readonly ready: pulumi.Resource;
}

/** A shared plane's issuer is cluster-scoped: its name must not clash with another environment's on the same cluster. */
export function issuerPlace(
  args: Pick<CertificateAuthorityArgs<Plane>, "plane" | "namespace" | "clusterResourceNamespace">,
): IssuerPlace {
  return sharedPlanes.includes(args.plane)
    ? {
        kind: "ClusterIssuer",
        prefix: `${args.namespace}-${args.plane}`,
        metadata: {},
        keyNamespace: args.clusterResourceNamespace,
      }
    : {
        kind: "Issuer",
        prefix: args.plane,
        metadata: { namespace: args.namespace },
        keyNamespace: args.namespace,
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
