// A server's certificate from an issuer that is not one of the platform's: ACME, Vault, a cloud's authority. cert-manager renews it.

import { type KeyAlgorithm, privateKey } from "@mtls-everywhere/vocabulary/algorithms";
import type { LeafRef } from "@mtls-everywhere/vocabulary/references";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

/** An issuer of cert-manager's, or of another controller that serves its requests. */
export interface ForeignIssuer {
  /** Its name. One with a namespace must be in the certificate's. */
  readonly name: string;
  /** @default "Issuer" */
  readonly kind?: string;
  /** @default "cert-manager.io" */
  readonly group?: string;
}

/** What is asked for, and of whom. */
export interface ForeignCertificateArgs {
  /** Who signs it. */
  readonly issuer: pulumi.Input<ForeignIssuer>;
  /** Namespace of the certificate and its Secret. */
  readonly namespace: string;
  /** The server's DNS names. */
  readonly dnsNames: readonly string[];
  /**
   * Algorithm of its key, which is new with each renewal.
   * @default "ECDSA-P256"
   */
  readonly algorithm?: KeyAlgorithm;
}

/**
 * A server's certificate from an issuer that is not one of the platform's. It carries names and nothing else: public authorities refuse
 * SPIFFE IDs, subjects and client usages. Its lifetime is the issuer's choice.
 * @example
 * const shop = new ForeignCertificate("shop", {
 *   ...{ issuer: { kind: "ClusterIssuer", name: "letsencrypt" }, namespace: "shop", dnsNames: ["shop.example.com"] },
 * });
 */
export class ForeignCertificate extends pulumi.ComponentResource {
  /** The Secret with `tls.crt` and `tls.key`; known once the certificate is issued. */
  readonly secret: pulumi.Output<LeafRef>;

  constructor(name: string, args: ForeignCertificateArgs, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:ForeignCertificate", name, {}, opts);
    const { namespace, dnsNames } = args;
    const certificate = new k8s.apiextensions.CustomResource(
      name,
      {
        apiVersion: "cert-manager.io/v1",
        kind: "Certificate",
        metadata: { name, namespace, annotations: { "pulumi.com/waitFor": "condition=Ready" } },
        spec: pulumi.output(args.issuer).apply((issuer) => foreignSpec(name, args, issuer)),
      },
      { parent: this },
    );
    this.secret = certificate.metadata.apply((): LeafRef => ({ namespace, name, dnsNames }));
    this.registerOutputs({ secret: this.secret });
  }
}

/** The `spec` of its cert-manager Certificate. */
export function foreignSpec(
  secretName: string,
  { dnsNames, algorithm = "ECDSA-P256" }: Pick<ForeignCertificateArgs, "dnsNames" | "algorithm">,
  { name, kind = "Issuer", group = "cert-manager.io" }: ForeignIssuer,
) {
  return {
    secretName,
    privateKey: { ...privateKey(algorithm), rotationPolicy: "Always" },
    usages: ["digital signature", "server auth"],
    dnsNames: [...dnsNames],
    issuerRef: { name, kind, group },
  };
}
