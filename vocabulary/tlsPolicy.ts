// The platform's TLS policy, for all its listeners and clients: Mozilla's intermediate profile, limited to its ECDHE suites.

/** Versions, the oldest first, by the names that nginx, OpenSSL and Node.js have for them. */
export const tlsVersions = ["TLSv1.2", "TLSv1.3"] as const;
export type TlsVersion = (typeof tlsVersions)[number];

/** Authenticated encryption only, by OpenSSL's names and by the standard's, which Go uses too. */
const encryptions = [
  { openSsl: "AES128-GCM-SHA256", standard: "AES_128_GCM_SHA256" },
  { openSsl: "AES256-GCM-SHA384", standard: "AES_256_GCM_SHA384" },
  { openSsl: "CHACHA20-POLY1305", standard: "CHACHA20_POLY1305_SHA256" },
];
/** With forward secrecy, for leaves with either kind of key. */
const suites = encryptions.flatMap(({ openSsl, standard }) =>
  ["ECDSA", "RSA"].map((key) => ({
    openSsl: `ECDHE-${key}-${openSsl}`,
    standard: `TLS_ECDHE_${key}_WITH_${standard}`,
  })),
);

/** Suites of TLS 1.2 by OpenSSL's names. */
export const openSslSuites: readonly string[] = suites.map(({ openSsl }) => openSsl);

/** The same by the standard's names. */
export const standardSuites: readonly string[] = suites.map(({ standard }) => standard);

/** Suites of TLS 1.3, whose names are the same everywhere: all of them, since servers cannot restrict these. */
const newSuites = encryptions.map(({ standard }) => `TLS_${standard}`);

/** Curves of the key exchange by OpenSSL's names, preferred first. */
export const curves = ["X25519", "prime256v1", "secp384r1"] as const;

/** nginx's session directives: nothing is resumed, since a session made under a withdrawn root would live on. */
export const sessions = { cache: "off", tickets: "off" } as const;

/**
 * What our clients offer, in Node.js's terms. Curves are left to Node.js: a server's list decides, and etcd, which has none, can
 * use its newer post-quantum exchange.
 */
export const clientPolicy: { readonly minVersion: TlsVersion; readonly ciphers: string } = {
  minVersion: tlsVersions[0],
  ciphers: [...newSuites, ...openSslSuites].join(":"),
};
