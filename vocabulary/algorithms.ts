// Key algorithms, and what follows from each.

/** Key algorithms that cert-manager, OpenSSL and Go's crypto/tls all take in leaves and roots. */
export const keyAlgorithms = ["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-4096"] as const;
/** One of them: `ECDSA-P256`, `ECDSA-P384`, `RSA-2048` or `RSA-4096`. */
export type KeyAlgorithm = (typeof keyAlgorithms)[number];

export const keyFamilies = ["ECDSA", "RSA"] as const;
export type KeyFamily = (typeof keyFamilies)[number];

/** The kind of key that an algorithm such as `ECDSA-P256` makes. */
export function keyFamilyOf(algorithm: KeyAlgorithm): KeyFamily {
  return algorithm.startsWith("RSA") ? "RSA" : "ECDSA";
}

/** cert-manager's `privateKey` for an algorithm. */
export function privateKey(algorithm: KeyAlgorithm) {
  const [, size = ""] = algorithm.split("-");
  return { algorithm: keyFamilyOf(algorithm), size: Number(size.replace("P", "")) };
}
