// A TLS handshake as a client makes it, and what is wrong with a server that fails it.

import { isIP } from "node:net";
import tls from "node:tls";

import type { KeyPair } from "./certificates.ts";

/** What a TLS client presents and whom it trusts. */
export interface ClientTls {
  readonly ca: string;
  readonly pair?: KeyPair;
  /** TLS 1.2 unless given. */
  readonly minVersion?: tls.SecureVersion;
  readonly maxVersion?: tls.SecureVersion;
}

/** A verified connection over a stream, or to an address. Rejects with the handshake's own error. */
export function handshake(
  over: Pick<tls.ConnectionOptions, "socket" | "host" | "port">,
  serverName: string,
  { ca, pair, minVersion = "TLSv1.2", maxVersion }: ClientTls,
): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = tls.connect(
      {
        ...over,
        // SNI carries names only.
        ...(isIP(serverName) ? { host: serverName } : { servername: serverName }),
        ...{ ca, ...pair, minVersion },
        ...(maxVersion ? { maxVersion } : {}),
      },
      () => resolve(secure),
    );
    // Stays on: whoever uses the socket sees every error as its end, and one after that must not end the process.
    secure.on("error", reject);
  });
}

/** Whether a handshake failed for lack of a trusted root: OpenSSL has many words for it. */
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
