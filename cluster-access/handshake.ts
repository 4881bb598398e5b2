// A client's TLS handshake, why a server fails it, and the certificates that a server shows to anyone.

import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import tls from "node:tls";

import { clientPolicy } from "@mtls-everywhere/vocabulary/tlsPolicy";

import type { KeyPair } from "./certificates.ts";

/** What a TLS client presents and whom it trusts. */
export interface ClientTls {
  readonly ca: string;
  readonly pair?: KeyPair;
  /** Default: the policy's. */
  readonly minVersion?: tls.SecureVersion;
  readonly maxVersion?: tls.SecureVersion;
  /** In OpenSSL's terms. Default: the policy's. */
  readonly ciphers?: string;
  /** A session of an earlier connection, to be resumed. */
  readonly session?: Buffer;
}

/** Where a connection goes: over a stream, or to an address. */
export type Way = Pick<tls.ConnectionOptions, "socket" | "host" | "port">;

/** A verified connection over a stream, or to an address. Rejects with the handshake's own error. */
export function handshake(over: Way, serverName: string, { pair, ...client }: ClientTls): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = tls.connect(
      {
        ...{ ...over, ...named(serverName) },
        ...{ ...clientPolicy, ...client, ...pair },
      },
      () => resolve(secure),
    );
    // Stays registered: users of the socket see every error as its close, and a later one must not end the process.
    secure.on("error", reject);
  });
}

/**
 * The certificates that a server shows, its leaf first. Nothing is sent to it and nothing is trusted: they are only
 * inspected, even when they have expired.
 */
export function shownBy(
  over: Way,
  serverName: string,
  pair?: KeyPair,
  signal?: AbortSignal,
): Promise<readonly X509Certificate[]> {
  return new Promise((resolve, reject) => {
    const secure = tls.connect({ ...over, ...named(serverName), ...clientPolicy, ...pair, rejectUnauthorized: false });
    const end = (error: Error) => {
      const chain: X509Certificate[] = [];
      for (let next = secure.getPeerX509Certificate(); next; next = next.issuerCertificate) chain.push(next);
      secure.destroy();
      if (chain.length > 0) resolve(chain);
      else reject(error);
    };
    secure.once("secureConnect", () => end(new Error("the server shows no certificate")));
    // In TLS 1.2, a server that refuses its client has already shown its own certificate.
    secure.on("error", end);
    secure.on("close", () => end(Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" })));
    signal?.addEventListener("abort", () => secure.destroy(signal.reason as Error), { once: true });
  });
}

/** The one of these roots that a chain ends at, if any. */
export function rootOf(
  [leaf, ...above]: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): X509Certificate | undefined {
  if (leaf === undefined) return undefined;
  const root = roots.find((candidate) => isSigned(leaf, candidate));
  return root ?? (above[0] && isSigned(leaf, above[0]) ? rootOf(above, roots) : undefined);
}

/** Whether a handshake failed for lack of a trusted root: OpenSSL has many codes for it. */
export function isUntrusted({ code = "" }: NodeJS.ErrnoException): boolean {
  return untrusted.has(code);
}

const untrusted: ReadonlySet<string> = new Set([
  "CERT_SIGNATURE_FAILURE",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** SNI carries names only; an empty name sends none. */
function named(serverName: string): tls.ConnectionOptions {
  return isIP(serverName) ? { host: serverName } : { servername: serverName };
}

function isSigned(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
