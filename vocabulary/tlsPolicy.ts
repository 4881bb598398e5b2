// How the platform speaks TLS, for every listener and every client of ours: Mozilla's intermediate profile, of its suites those with ECDHE.

/** Versions, the oldest first, by the names that nginx, OpenSSL and Node.js have for them. */
export const tlsVersions = ["TLSv1.2", "TLSv1.3"] as const;
export type TlsVersion = (typeof tlsVersions)[number];

/** Authenticated encryption alone: by OpenSSL's names and by the standard's, which Go has too. */
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

/** Suites of TLS 1.3, by everybody's names: all that servers have, which can choose none. */
const newSuites = encryptions.map(({ standard }) => `TLS_${standard}`);

/** Curves of the key exchange, the preferred first, by OpenSSL's names. */
export const curves = ["X25519", "prime256v1", "secp384r1"] as const;

/** nginx's directives for sessions: none is resumed, since one that was made under a withdrawn root would live on. */
export const sessions = { cache: "off", tickets: "off" } as const;

/**
 * What our clients offer, as Node.js takes it. Their curves are its own: a server's list decides, and etcd, which has none, knows
 * with newer ones an exchange that withstands quantum computers.
 */
export const clientPolicy: { readonly minVersion: TlsVersion; readonly ciphers: string } = {
  minVersion: tlsVersions[0],
  ciphers: [...newSuites, ...openSslSuites].join(":"),
};
