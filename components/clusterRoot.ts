// A plane's root that cert-manager makes and keeps: its key never leaves the cluster.

import * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";

import { privateKey } from "./certificate.ts";
import type { CertificateAuthorityArgs, IssuerPlace, SigningPair } from "./certificateAuthority.ts";
import type { Plane } from "./planes.ts";
import { RootCertificates } from "./rootCertificates.ts";

/** Where a plane's root comes from: this kind. */
export interface ClusterRoot {
  readonly kind: "cluster";
}

/** A self-signed root certificate; leaves are signed with its key. */
export function createClusterRoot(
  name: string,
  args: CertificateAuthorityArgs<Plane>,
  place: IssuerPlace,
  child: { readonly parent: pulumi.Resource },
): SigningPair {
  const awaited = { annotations: { "pulumi.com/waitFor": "condition=Ready" } };
  const secretName = `${place.prefix}-root`;
  const issuerName = `${place.prefix}-self-signed`;
  const selfSigned = new k8s.apiextensions.CustomResource(
    `${name}-self-signed`,
    {
      apiVersion: "cert-manager.io/v1",
      kind: place.kind,
      metadata: { name: issuerName, ...place.metadata, ...awaited },
      spec: { selfSigned: {} },
    },
    child,
  );
  const root = new k8s.apiextensions.CustomResource(
    `${name}-root`,
    {
      apiVersion: "cert-manager.io/v1",
      kind: "Certificate",
      metadata: { name: secretName, namespace: place.keyNamespace, ...awaited },
      spec: rootSpec(secretName, args, { kind: place.kind, name: issuerName }),
    },
    { ...child, dependsOn: selfSigned },
  );
  const certificates = new RootCertificates(
    `${name}-roots`,
    {
      cluster: args.cluster,
      secrets: [{ namespace: place.keyNamespace, name: secretName }],
    },
    { ...child, dependsOn: root },
  );
  return { secretName, roots: certificates.pem, ready: root };
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
