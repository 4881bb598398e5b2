// A plane's certificate authority: the roots of its trusted generations, an issuer for each, and the trust bundle.

import type { KeyAlgorithm } from "@mtls-everywhere/vocabulary/algorithms";
import { type IssuerRef, type Plane, planes, type TrustRef } from "@mtls-everywhere/vocabulary/planes";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import type { LeafAuthority } from "./certificate.ts";
import type { CertificateLimits } from "./certificateLimits.ts";
import { createClusterRoot } from "./clusterRoot.ts";
import type { Generation } from "./generations.ts";
import { issuerPlace, named } from "./issuerPlace.ts";
import { createStateHeldRoot, type StateHeldSettings } from "./stateHeldRoots.ts";
import { TrustBundle } from "./trustBundle.ts";
import { rootDigests } from "./workload.ts";

/** A plane's roots, and where its objects go. */
export interface CertificateAuthorityArgs<P extends Plane> {
  /** The plane whose leaves it signs. */
  readonly plane: P;
  /** The trusted generations; the active one signs the leaves. */
  readonly generations: readonly Generation[];
  /** What may change during a generation's life, for those whose roots are in Pulumi's state. */
  readonly root: { readonly kind: "cluster" } | ({ readonly kind: "stateHeld" } & StateHeldSettings);
  /** The platform's namespace, for namespaced issuers and the trust bundle. */
  readonly namespace: string;
  /** Where ClusterIssuers find their Secrets: cert-manager's own namespace. */
  readonly clusterResourceNamespace: string;
  /** UID of the cluster, for the dynamic resources that read its roots. */
  readonly cluster: string;
  /** Lifetime of leaves, such as `24h`. */
  readonly leafDuration: string;
  /** What limits requests to its issuers, if anything does. */
  readonly limits?: CertificateLimits | undefined;
}

/** SHA-256 of each trusted generation's roots, by the generation's name: one, unless a lost one was recreated. */
export type RootDigests = Readonly<Record<string, readonly string[]>>;

/** Who signs a plane's leaves, and the roots that they chain to: where a server and its callers both belong to the plane. */
export interface PlaneAuthority<P extends Plane> extends LeafAuthority<P> {
  /** The roots as a ConfigMap, in the namespace of the pods that mount it. */
  readonly trust: pulumi.Output<TrustRef<P>>;
  /** The same in PEM: public. */
  readonly roots: pulumi.Output<string>;
}

/**
 * One plane's authority. A plane that other teams use has ClusterIssuers, the others Issuers in the platform's namespace: one for
 * each generation, so that a change of the active one makes cert-manager reissue every leaf.
 */
export class CertificateAuthority<P extends Plane> extends pulumi.ComponentResource implements PlaneAuthority<P> {
  /** The active generation's. */
  readonly issuer: pulumi.Output<IssuerRef<P>>;
  /** The trust bundle in the platform's namespace. */
  readonly trust: pulumi.Output<TrustRef<P>>;
  /** The plane's roots in PEM: public. */
  readonly roots: pulumi.Output<string>;
  /** The roots' digests. */
  readonly digests: pulumi.Output<RootDigests>;
  /** The plane whose leaves it signs. */
  readonly plane: P;
  /** The active generation's. */
  readonly trustDomain: string;
  /** Those of all trusted generations, the active one's first: leaves of any of them may be in use. */
  readonly trustDomains: readonly string[];
  /** The active generation's. */
  readonly algorithm: KeyAlgorithm;
  /** Lifetime of its leaves. */
  readonly leafDuration: string;
  /** What limits requests to its issuers, if anything does. */
  readonly limits: CertificateLimits | undefined;

  constructor(name: string, args: CertificateAuthorityArgs<P>, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:CertificateAuthority", name, {}, opts);
    const { generations } = args;
    const active = generations.find((generation) => generation.active)!;
    this.plane = args.plane;
    this.trustDomain = active.trustDomain;
    this.trustDomains = [...new Set([active, ...generations].map(({ trustDomain }) => trustDomain))];
    this.algorithm = active.algorithm;
    this.leafDuration = args.leafDuration;
    this.limits = args.limits;

    const made = generations.map((generation) => ({ generation, ...createGeneration(name, args, generation, this) }));
    const pems = pulumi.all(made.map(({ root }) => root));
    this.issuer = made.find(({ generation }) => generation.active)!.issuer;
    this.roots = pems.apply((roots) => roots.join(""));
    this.digests = pems.apply((roots) =>
      Object.fromEntries(roots.map((root, index) => [generations[index]!.name, rootDigests(root)])),
    );
    this.trust = new TrustBundle(
      `${name}-trust`,
      { plane: args.plane, namespace: args.namespace, roots: this.roots, digests: this.digests },
      { parent: this },
    ).trust;
    this.registerOutputs({ issuer: this.issuer, trust: this.trust, roots: this.roots });
  }
}

/** A generation's root, and the issuer that signs for it until it is retired: consumers switch over after this stack. */
function createGeneration<P extends Plane>(
  name: string,
  args: CertificateAuthorityArgs<P>,
  generation: Generation,
  parent: pulumi.Resource,
) {
  const place = issuerPlace(args, generation);
  const signing =
    generation.kind === "cluster"
      ? createClusterRoot(name, args, generation, place, { parent })
      : createStateHeldRoot(name, args.plane, settingsOf(args.root), generation, place, { parent });
  const { kind, prefix } = place;
  const issuer = new k8s.apiextensions.CustomResource(
    `${named(name, generation)}-issuer`,
    {
      apiVersion: "cert-manager.io/v1",
      kind,
      metadata: { name: prefix, ...place.metadata, annotations: { "pulumi.com/waitFor": "condition=Ready" } },
      spec: { ca: { secretName: signing.secretName } },
    },
    // Nobody else approves its requests from the first one on.
    { parent, dependsOn: args.limits ? [signing.ready, args.limits.guard] : signing.ready },
  );
  return {
    root: signing.root,
    issuer: issuer.metadata.apply((): IssuerRef<P> => ({
      plane: args.plane,
      kind,
      name: prefix,
      group: "cert-manager.io",
    })),
  };
}

/** The defaults, while roots move into the cluster: the configuration says nothing about those still in the state. */
function settingsOf(root: CertificateAuthorityArgs<Plane>["root"]): StateHeldSettings {
  return root.kind === "stateHeld" ? root : { protect: true, intermediateDuration: "8760h" };
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
export function byPlane<K extends "issuer" | "trust" | "roots" | "digests">(
  authorities: Authorities,
  property: K,
): { readonly [P in Plane]: CertificateAuthority<P>[K] } {
  const entries = planes.map((plane) => [plane, authorities[plane][property]]);
  return Object.fromEntries(entries) as { readonly [P in Plane]: CertificateAuthority<P>[K] };
}
