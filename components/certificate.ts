// A leaf: a certificate that speaks for one identity in one plane, issued and renewed by cert-manager.

import { type KeyAlgorithm, privateKey } from "@mtls-everywhere/vocabulary/algorithms";
import { type Identity, spiffeId, subjectLimit, type OwnedHost } from "@mtls-everywhere/vocabulary/identities";
import { type CertSecretRef, type IssuerRef, type Plane } from "@mtls-everywhere/vocabulary/planes";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { leafPolicy, policyName, policyObject } from "./certificateLimitsPlan.ts";

/** Who signs leaves of a plane, and under which rules. */
export interface LeafAuthority<P extends Plane> {
  /** The plane that its leaves are of. */
  readonly plane: P;
  /** cert-manager's issuer that signs them. */
  readonly issuer: pulumi.Output<IssuerRef<P>>;
  /** Trust domain that they speak for. */
  readonly trustDomain: string;
  /** Algorithm of their keys. */
  readonly algorithm: KeyAlgorithm;
  /** Lifetime, such as `24h`; cert-manager renews after two thirds of it. */
  readonly leafDuration: string;
  /**
   * What limits requests to the issuer: each leaf then gets a policy that allows it alone.
   * @default none, as for other stacks, whose leaves need no policies of their own
   */
  readonly limits?: LeafLimits | undefined;
  /**
   * Hosts that its issuer signs servers' leaves for, each in one namespace: what the platform's `gateway.hosts` says.
   * @default any
   */
  readonly hosts?: readonly OwnedHost[] | undefined;
}

/** Where requests are limited: what the policy of a leaf of the platform's own needs. */
export interface LeafLimits {
  /** The platform's namespace: the names of its policies begin with it. */
  readonly namespace: string;
  /** What each policy waits for: what judges by it must be there first. */
  readonly policies: Pick<pulumi.CustomResourceOptions, "dependsOn" | "hooks">;
}

/** Whom a leaf speaks for, and what it may prove. */
export interface CertificateArgs<P extends Plane> {
  /** Who signs it. */
  readonly authority: LeafAuthority<P>;
  /** Namespace of the certificate and its Secret. */
  readonly namespace: string;
  /** Service account that the leaf speaks for: its SPIFFE ID, and its subject's common name. */
  readonly serviceAccount: string;
  /** What the leaf may prove; etcd's server leaf needs both, since its JSON gateway dials itself with it. */
  readonly usages: readonly LeafUsage[];
  /**
   * DNS names of a server.
   * @default none
   */
  readonly dnsNames?: readonly string[];
  /**
   * Leave the subject empty: etcd would take a common name for a user.
   * @default false
   */
  readonly emptySubject?: boolean;
}

/** What a leaf proves: that it is a server, or a client. */
export type LeafUsage = "server auth" | "client auth";

/**
 * A leaf of plane `P`. Its key is generated in the cluster and stays there, in the Secret that `secret` names.
 * @example
 * const leaf = new Certificate("orders", { authority: pki.edge, namespace: "shop", serviceAccount: "orders", usages: ["client auth"] });
 * @throws ResourceError when a part of the subject is longer than a certificate allows.
 * @throws RunError when the platform gives one of its names to another namespace, or to none.
 */
export class Certificate<P extends Plane> extends pulumi.ComponentResource {
  /** The Secret with `tls.crt` and `tls.key`; known once the leaf is issued. */
  readonly secret: pulumi.Output<CertSecretRef<P>>;

  constructor(name: string, args: CertificateArgs<P>, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:Certificate", name, {}, opts);
    const identity: Identity = { ...args, trustDomain: args.authority.trustDomain };
    checkSubject(identity, this);
    checkHosts(name, args);
    const spec = args.authority.issuer.apply((issuer) => leafSpec(name, identity, args, issuer));
    const { limits } = args.authority;
    const allowed =
      limits &&
      new k8s.apiextensions.CustomResource(
        `${name}-policy`,
        policyObject(
          policyName(limits.namespace, name),
          spec.apply((leaf) => leafPolicy(leaf, args.namespace)),
        ),
        { parent: this, ...limits.policies },
      );
    const certificate = new k8s.apiextensions.CustomResource(
      name,
      {
        apiVersion: "cert-manager.io/v1",
        kind: "Certificate",
        metadata: { name, namespace: args.namespace, annotations: { "pulumi.com/waitFor": "condition=Ready" } },
        spec,
      },
      { parent: this, ...(allowed && { dependsOn: allowed }) },
    );
    this.secret = certificate.metadata.apply((): CertSecretRef<P> => ({
      plane: args.authority.plane,
      namespace: args.namespace,
      name,
      ...(args.dnsNames?.length ? { dnsNames: args.dnsNames } : {}),
    }));
    this.registerOutputs({ secret: this.secret });
  }
}

/** The `spec` of a leaf's cert-manager Certificate. */
export function leafSpec(
  secretName: string,
  identity: Identity,
  args: Pick<CertificateArgs<Plane>, "usages" | "dnsNames" | "emptySubject"> & {
    readonly authority: Pick<LeafAuthority<Plane>, "algorithm" | "leafDuration">;
  },
  issuer: IssuerRef,
) {
  return {
    secretName,
    duration: args.authority.leafDuration,
    privateKey: { ...privateKey(args.authority.algorithm), rotationPolicy: "Always" },
    usages: ["digital signature", ...args.usages],
    uris: [spiffeId(identity)],
    ...(args.dnsNames?.length ? { dnsNames: [...args.dnsNames] } : {}),
    ...(args.emptySubject
      ? {}
      : {
          commonName: identity.serviceAccount,
          subject: { organizations: [identity.trustDomain], organizationalUnits: [identity.namespace] },
        }),
    issuerRef: { name: issuer.name, kind: issuer.kind, group: issuer.group },
  };
}

function checkSubject(identity: Identity, resource: pulumi.Resource): void {
  const parts = {
    trustDomain: identity.trustDomain,
    namespace: identity.namespace,
    serviceAccount: identity.serviceAccount,
  };
  for (const [part, value] of Object.entries(parts)) {
    if (value.length > subjectLimit) {
      throw new pulumi.ResourceError(
        `${part} "${value}" has ${value.length} characters; a certificate subject holds at most ${subjectLimit}. Choose a shorter one.`,
        resource,
      );
    }
  }
}

/** @throws RunError when the platform's policies would deny a name: cert-manager tries a denied request again only after an hour. */
export function checkHosts(
  name: string,
  args: Pick<CertificateArgs<Plane>, "namespace" | "dnsNames"> & {
    readonly authority: Pick<LeafAuthority<Plane>, "hosts">;
  },
): void {
  const { authority, namespace, dnsNames = [] } = args;
  const own = authority.hosts?.filter((other) => other.namespace === namespace).map(({ host }) => host);
  const denied = own && dnsNames.find((host) => !own.includes(host));
  if (denied === undefined) return;
  throw new pulumi.RunError(
    `Certificate "${name}": the platform's edge plane signs none for ${denied} in namespace ${namespace}. ` +
      `Have "${namespace}/${denied}" added to the platform's gateway.hosts, and its stack updated, first.`,
  );
}
