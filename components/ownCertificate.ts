// Where the certificate of the platform's own host comes from: the edge plane, or whom the configuration names.

import type { KeyAlgorithm } from "@mtls-everywhere/vocabulary/algorithms";

import type { PlaneAuthority } from "./certificateAuthority.ts";
import type { ForeignIssuer } from "./foreignCertificate.ts";

/** The configuration's word for it. */
export interface OwnCertificate {
  readonly issuerRef?: ForeignIssuer | undefined;
  /** In the platform's namespace. */
  readonly secretName?: string | undefined;
  /** PEM. */
  readonly roots?: string | undefined;
}

/** What it depends on. */
export interface OwnCertificateArgs {
  readonly namespace: string;
  readonly pki: { readonly algorithm: KeyAlgorithm };
  readonly gateway: { readonly certificate?: OwnCertificate | undefined };
}

/** Name of the edge plane's leaf and its Secret. */
const leaf = "gateway";

/** Name of another issuer's: until it is issued, the edge plane's is served. */
export const externalLeaf = `${leaf}-external`;

/** What a site's certificate is, and whom it lets in: always clients of the edge plane. */
export function ownCertificate({ namespace, pki, gateway }: OwnCertificateArgs, edge: PlaneAuthority<"edge">) {
  const { issuerRef: issuer, secretName: name } = gateway.certificate ?? {};
  const clients = { trust: edge.trust };
  if (issuer) return { issuer, namespace, leaf: externalLeaf, algorithm: pki.algorithm, clients };
  if (name) return { certificate: { namespace, name }, clients };
  return { edge, namespace, leaf };
}

/** The roots that verify it, as the outputs say it; undefined for the edge plane's. */
export function ownRoots(certificate: OwnCertificate | undefined): string | undefined {
  return certificate && (certificate.roots ?? "public");
}
