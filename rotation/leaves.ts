// Which generation a leaf belongs to: by the issuer that it names, and by the one that signed what its Secret holds.

import { X509Certificate } from "node:crypto";

import { type Plane, planes } from "@mtls-everywhere/vocabulary/planes";

import { issuerName } from "../components/issuerPlace.ts";
import { type CertificateObject, isCurrent, type RequestObject } from "./lists.ts";
import type { LiveLeaf } from "./live.ts";

/** Whose issuers count. */
export interface Issuers {
  /** The platform's namespace. */
  readonly namespace: string;
  /** Name of the stack's first generation, whose issuers' names have no suffix. */
  readonly founder: string;
}

/** Certificates from the platform's issuers, and requests to them that belong to no Certificate. */
export function leavesOf(
  issuers: Issuers,
  certificates: readonly CertificateObject[],
  requests: readonly RequestObject[],
): LiveLeaf[] {
  const signed = requests.filter(({ status }) => status?.certificate);
  return [
    ...certificates.flatMap((certificate) => leafOf(issuers, certificate, signed)),
    ...signed
      .filter((request) => ownerOf(request) === undefined && !expired(request.status?.certificate ?? ""))
      .flatMap((request): LiveLeaf[] => {
        const by = issuerOf(issuers, request);
        const { namespace, name } = request.metadata;
        return by
          ? [
              {
                kind: "CertificateRequest",
                namespace,
                name,
                plane: by.plane,
                wanted: by.generation,
                issued: by.generation,
              },
            ]
          : [];
      }),
  ];
}

function leafOf(issuers: Issuers, certificate: CertificateObject, signed: readonly RequestObject[]): LiveLeaf[] {
  const { metadata, status } = certificate;
  const wanted = issuerOf(issuers, certificate);
  if (wanted === undefined) return [];
  const [newest] = signed
    .filter((request) => ownerOf(request) === metadata.name && request.metadata.namespace === metadata.namespace)
    .sort((one, other) => revisionOf(other) - revisionOf(one));
  const by = isCurrent(certificate) ? wanted : newest && issuerOf(issuers, newest);
  const { namespace, name } = metadata;
  const leaf = { kind: "Certificate", namespace, name, plane: wanted.plane, wanted: wanted.generation } as const;
  if (by !== undefined) return [{ ...leaf, issued: by.generation }];
  const everIssued = status?.revision !== undefined || status?.notAfter !== undefined;
  return [everIssued ? { ...leaf, unsure: true } : leaf];
}

/** Plane and generation of the issuer that an object names; undefined for issuers that are not the platform's. */
export function issuerOf(
  issuers: Issuers,
  { metadata, spec }: CertificateObject | RequestObject,
): { readonly plane: Plane; readonly generation: string } | undefined {
  const { name, kind = "Issuer", group = "cert-manager.io" } = spec.issuerRef;
  if (group !== "cert-manager.io") return undefined;
  for (const plane of planes) {
    const first = issuerName(issuers.namespace, plane, { name: issuers.founder, founder: true });
    if (kind !== first.kind || (kind === "Issuer" && metadata.namespace !== issuers.namespace)) continue;
    if (name === first.name) return { plane, generation: issuers.founder };
    const [, later] = name.startsWith(`${first.name}-`) ? [first.name, name.slice(first.name.length + 1)] : [];
    // Neither a root's own issuer nor another plane's: the configuration allows no such names.
    if (later !== undefined && !/^peer(-|$)|self-signed$/.test(later)) return { plane, generation: later };
  }
  return undefined;
}

function ownerOf({ metadata }: RequestObject): string | undefined {
  return metadata.annotations?.["cert-manager.io/certificate-name"];
}

function revisionOf({ metadata }: RequestObject): number {
  return Number(metadata.annotations?.["cert-manager.io/certificate-revision"] ?? 0);
}

function expired(pem: string): boolean {
  try {
    return new X509Certificate(Buffer.from(pem, "base64")).validToDate < new Date();
  } catch {
    return false;
  }
}
