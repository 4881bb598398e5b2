// JSON objects as the Admin API takes and returns them, and the labels that the project puts on them.

/** A JSON object of the Admin API. */
export type Body = { readonly [field: string]: unknown };

/** The certificate labels let anyone compare without parsing. The server wants 1 to 256 characters without a space in a value. */
export const labels = {
  owner: "mtls-everywhere.owner",
  instance: "mtls-everywhere.instance",
  /** Digest of the certificate. */
  certificate: "mtls-everywhere.certificate",
  /** Digest of the bundle that clients are verified with. */
  clientTrust: "mtls-everywhere.client-trust",
  /** The Secret that a certificate is taken from, as `namespace/name`: where the gateway's renewer looks for the next one. */
  secret: "mtls-everywhere.secret",
  /** What seals the object's secrets: a key's name in the keyring, and a digest of its value. */
  sealed: "mtls-everywhere.sealed",
} as const;

/** Without the fields that are undefined. */
export function defined(body: Body): Body {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}
