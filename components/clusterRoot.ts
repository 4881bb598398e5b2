// A plane's root that cert-manager creates and keeps: its key never leaves the cluster.

import { privateKey } from "@mtls-everywhere/vocabulary/algorithms";
import type { Plane } from "@mtls-everywhere/vocabulary/planes";
import * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";

import type { Generation } from "./generations.ts";
import { commonName, type IssuerPlace, named, type SigningPair } from "./issuerPlace.ts";
import { RootCertificates } from "./rootCertificates.ts";
import { RootKey } from "./rootKey.ts";

/** A self-signed root certificate; leaves are signed with its key. */
export function createClusterRoot(
  name: string,
  args: { readonly plane: Plane; readonly cluster: string },
  generation: Generation,
  place: IssuerPlace,
  child: { readonly parent: pulumi.Resource },
): SigningPair {
  const own = named(name, generation);
  const awaited = { annotations: { "pulumi.com/waitFor": "condition=Ready" } };
  const secretName = `${place.prefix}-root`;
  const issuerName = `${place.prefix}-self-signed`;
  const selfSigned = new k8s.apiextensions.CustomResource(
    `${own}-self-signed`,
    {
      apiVersion: "cert-manager.io/v1",
      kind: place.kind,
      metadata: { name: issuerName, ...place.metadata, ...awaited },
      spec: { selfSigned: {} },
    },
    child,
  );
  // Before the Certificate: what is created first is deleted last.
  const key = new RootKey(
    `${own}-root-key`,
    {
      cluster: args.cluster,
      secret: { namespace: place.keyNamespace, name: secretName },
      certificate: secretName,
    },
    child,
  );
  const root = new k8s.apiextensions.CustomResource(
    `${own}-root`,
    {
      apiVersion: "cert-manager.io/v1",
      kind: "Certificate",
      metadata: { name: secretName, namespace: place.keyNamespace, ...awaited },
      spec: rootSpec(secretName, args.plane, generation, { kind: place.kind, name: issuerName }),
    },
    { ...child, dependsOn: [selfSigned, key] },
  );
  const certificates = new RootCertificates(
    `${own}-roots`,
    {
      cluster: args.cluster,
      secrets: [{ namespace: place.keyNamespace, name: secretName }],
    },
    { ...child, dependsOn: root },
  );
  return { secretName, root: certificates.pem, ready: root };
}

/** The `spec` of a root's cert-manager Certificate. */
export function rootSpec(
  secretName: string,
  plane: Plane,
  generation: Omit<Generation, "kind" | "active">,
  issuer: { readonly kind: string; readonly name: string },
) {
  return {
    isCA: true,
    secretName,
    // A root's key is not replaced when its certificate is renewed: leaves would no longer chain to the trust bundle.
    privateKey: { ...privateKey(generation.algorithm), rotationPolicy: "Never" },
    duration: generation.rootDuration,
    commonName: commonName(plane, "root", generation),
    subject: { organizations: [generation.trustDomain] },
    usages: ["cert sign", "crl sign", "digital signature"],
    issuerRef: { ...issuer, group: "cert-manager.io" },
  };
}
