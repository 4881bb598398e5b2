// Throw-away certificate authorities, one per plane, for tests that need real handshakes.

import "reflect-metadata";

import { webcrypto } from "node:crypto";

import * as x509 from "@peculiar/x509";

import type { KeyPair } from "../../cluster-access/certificates.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export interface Leaf {
  readonly subject?: string;
  readonly dnsNames?: readonly string[];
  readonly uris?: readonly string[];
  readonly usages?: readonly ("server auth" | "client auth")[];
  /** Its kind of key. Default: ECDSA. */
  readonly family?: "ECDSA" | "RSA";
  /** Milliseconds from now. Default: valid on any day. */
  readonly lifetime?: number;
}

/** The real etcd uses the machine's clock even if the test's date is moved: certificates must be valid by both. */
const anyDay = { notBefore: new Date("2000-01-01"), notAfter: new Date("2100-01-01") };

const fromNow = (milliseconds: number) => {
  const notBefore = new Date();
  return { notBefore, notAfter: new Date(notBefore.getTime() + milliseconds) };
};

/** A root whose key exists only in this process. */
export class Authority {
  readonly root: string;
  readonly #certificate: x509.X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(certificate: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.root = pemOf(certificate);
    this.#certificate = certificate;
    this.#keys = keys;
  }

  static async create(name: string): Promise<Authority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: `CN=${name} root`,
      keys,
      signingAlgorithm: algorithm,
      ...anyDay,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return new Authority(certificate, keys);
  }

  /** An authority signed by this one; its `root` is its own certificate. */
  async intermediate(name: string): Promise<Authority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${name}`,
      issuer: this.#certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: algorithm,
      ...anyDay,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate),
      ],
    });
    return new Authority(certificate, keys);
  }

  /** Signs as cert-manager's CA issuer does: subject and names come from the request. */
  async sign(requestPem: string, lifetime: number): Promise<string> {
    const request = new x509.Pkcs10CertificateRequest(requestPem);
    const certificate = await x509.X509CertificateGenerator.create({
      subject: request.subjectName,
      issuer: this.#certificate.subject,
      publicKey: request.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: algorithm,
      ...fromNow(lifetime),
      extensions: request.extensions,
    });
    return pemOf(certificate);
  }

  async leaf(leaf: Leaf): Promise<KeyPair> {
    const keys = await newKeys(leaf.family);
    const usages = leaf.usages ?? ["client auth"];
    const names: x509.JsonGeneralName[] = [
      ...(leaf.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
      ...(leaf.uris ?? []).map((value) => ({ type: "url" as const, value })),
    ];
    const certificate = await x509.X509CertificateGenerator.create({
      subject: leaf.subject ?? "",
      issuer: this.#certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: algorithm,
      ...(leaf.lifetime === undefined ? anyDay : fromNow(leaf.lifetime)),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(
          usages.map((usage) =>
            usage === "server auth" ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth,
          ),
        ),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names, !leaf.subject)] : []),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate),
      ],
    });
    return { cert: pemOf(certificate), key: await privatePem(keys) };
  }
}

function newKeys(family = "ECDSA"): Promise<webcrypto.CryptoKeyPair> {
  const rsa = {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: 2048,
    publicExponent: Buffer.from([1, 0, 1]),
  };
  return webcrypto.subtle.generateKey(family === "RSA" ? rsa : algorithm, true, ["sign", "verify"]);
}

async function privatePem(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  return `-----BEGIN PRIVATE KEY-----\n${der.toString("base64").replace(/(.{64})/g, "$1\n")}\n-----END PRIVATE KEY-----\n`;
}

/** Ends with a line break, as tools write it. */
function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}
