// Decides for each certificate that the gateway holds what its Secret asks for. Pure: the clock and the Secret are passed in.

import { type Body, labels } from "@mtls-everywhere/apisix-admin";
import { certificatesOf, digestOf, type KeyPair, pairProblems } from "@mtls-everywhere/cluster-access";
import type { SecretRef } from "@mtls-everywhere/vocabulary/references";

/** A certificate as the Admin API shows it: without its key. */
export interface LiveCertificate {
  readonly id: string;
  readonly secret: SecretRef;
  /** Names that it serves; a client's certificate has none. */
  readonly names: readonly string[];
  readonly cert: string;
}

/** What is known of a Secret. */
export type Found =
  /** It has not been read yet. */
  | { readonly kind: "unread" }
  /** It is gone, or its entries are not a certificate and key. */
  | { readonly kind: "unusable"; readonly problem: string }
  | { readonly kind: "pair"; readonly pair: KeyPair };

export type Decision =
  /** The two agree, or nothing is known yet. */
  | { readonly kind: "rest" }
  /** The last good certificate stays; why, in a sentence. */
  | { readonly kind: "keep"; readonly problem: string }
  /** The gateway's certificate is not older: the Secret must be read again before that is replaced. */
  | { readonly kind: "ask" }
  | { readonly kind: "renew"; readonly pair: KeyPair };

/**
 * How far the clocks of issuer and node may be apart, in milliseconds. A leaf that was issued a moment ago must not be
 * refused by a clock that lags; expiry has no such allowance, so an expired leaf is accepted for no longer than the
 * clock lags.
 */
export const clockTolerance = 300_000;

/** Live certificate objects that name a Secret; others are ignored. */
export function liveCertificates(objects: readonly Body[]): LiveCertificate[] {
  return objects.flatMap((object) => {
    const { id, cert, snis, labels: marks = {} } = object as { readonly labels?: Body } & Body;
    const mark = marks[labels.secret];
    const named = typeof mark === "string" && /^([^/]+)\/([^/]+)$/.exec(mark);
    if (!named || typeof cert !== "string") return [];
    const names = Array.isArray(snis) ? snis.map(String) : [];
    return [{ id: String(id), secret: { namespace: named[1]!, name: named[2]! }, names, cert }];
  });
}

/**
 * What to do about one certificate. `fresh` says that the Secret was read after the certificate: only then may it
 * replace one that is not older, since a watch that lags would undo what somebody else has just renewed.
 */
export function decide(live: LiveCertificate, found: Found, now: Date, fresh: boolean): Decision {
  if (found.kind === "unread") return { kind: "rest" };
  if (found.kind === "unusable") return { kind: "keep", problem: found.problem };
  const { pair } = found;
  const problems = pairProblems(pair, live.names, momentFor(pair, now));
  if (problems.length > 0) return { kind: "keep", problem: problems.join(" ") };
  if (agrees(live, pair)) return { kind: "rest" };
  return fresh || isNewer(pair.cert, live.cert) ? { kind: "renew", pair } : { kind: "ask" };
}

/** Whether the gateway has exactly the Secret's chain. */
export function agrees(live: LiveCertificate, pair: KeyPair): boolean {
  return digestOrNothing(pair.cert) === digestOrNothing(live.cert);
}

/** When a chain's leaf expires; undefined for what is not a certificate. */
export function endOf(pem: string): Date | undefined {
  return leafOf(pem)?.validToDate;
}

/** The leaf's SHA-256 as handshakes show it; undefined for what is not a certificate. */
export function fingerprintOf(pem: string): string | undefined {
  return leafOf(pem)?.fingerprint256;
}

function momentFor(pair: KeyPair, now: Date): Date {
  const from = leafOf(pair.cert)?.validFromDate ?? now;
  return from > now && Number(from) - Number(now) <= clockTolerance ? from : now;
}

function isNewer(cert: string, than: string): boolean {
  const other = leafOf(than);
  return other === undefined || leafOf(cert)!.validFromDate > other.validFromDate;
}

function leafOf(pem: string) {
  try {
    return certificatesOf(pem)[0];
  } catch {
    return undefined;
  }
}

function digestOrNothing(pem: string): string {
  try {
    return digestOf(pem);
  } catch {
    return "";
  }
}
