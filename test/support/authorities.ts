// Throw-away certificate authorities, one per plane, for tests that need real handshakes.

import "reflect-metadata";

import { createPrivateKey, webcrypto } from "node:crypto";

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
  /** Milliseconds from now, or from when it begins. Default: valid on any day. */
  readonly lifetime?: number;
  /** Milliseconds from now. Default: at once. */
  readonly begins?: number;
}

/** The real etcd uses the machine's clock even if the test's date is moved: certificates must be valid by both. */
const anyDay = { notBefore: new Date("2000-01-01"), notAfter: new Date("2100-01-01") };

const fromNow = (milliseconds: number, begins = 0) => {
  const notBefore = new Date(Date.now() + begins);
  return { notBefore, notAfter: new Date(notBefore.getTime() + milliseconds) };
};

/** An authority, by default one whose key exists only in this process. */
export class Authority {
  readonly root: string;
  readonly #certificate: x509.X509Certificate;
  readonly #key: webcrypto.CryptoKey;

  private constructor(certificate: x509.X509Certificate, key: webcrypto.CryptoKey) {
    this.root = pemOf(certificate);
    this.#certificate = certificate;
    this.#key = key;
  }

  /** One that exists, with an ECDSA key. */
  static async of({ cert, key }: KeyPair): Promise<Authority> {
    const der = createPrivateKey(key).export({ type: "pkcs8", format: "der" });
    const imported = await webcrypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
    return new Authority(new x509.X509Certificate(cert), imported);
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
    return new Authority(certificate, keys.privateKey);
  }

  /** An authority signed by this one; its `root` is its own certificate. */
  async intermediate(name: string): Promise<Authority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${name}`,
      issuer: this.#certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.#key,
      signingAlgorithm: algorithm,
      ...anyDay,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        keyIdOf(this.#certificate),
      ],
    });
    return new Authority(certificate, keys.privateKey);
  }

  /** Signs as cert-manager's CA issuer does: subject and names come from the request. */
  async sign(requestPem: string, lifetime: number): Promise<string> {
    const request = new x509.Pkcs10CertificateRequest(requestPem);
    const certificate = await x509.X509CertificateGenerator.create({
      subject: request.subjectName,
      issuer: this.#certificate.subject,
      publicKey: request.publicKey,
      signingKey: this.#key,
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
      signingKey: this.#key,
      signingAlgorithm: algorithm,
      ...(leaf.lifetime === undefined ? anyDay : fromNow(leaf.lifetime, leaf.begins)),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(
          usages.map((usage) =>
            usage === "server auth" ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth,
          ),
        ),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names, !leaf.subject)] : []),
        keyIdOf(this.#certificate),
      ],
    });
    return { cert: pemOf(certificate), key: await privatePem(keys) };
  }
}

/** By the identifier that the certificate itself has: cert-manager's are not computed as this library would. */
function keyIdOf(signer: x509.X509Certificate): x509.AuthorityKeyIdentifierExtension {
  return new x509.AuthorityKeyIdentifierExtension(signer.getExtension(x509.SubjectKeyIdentifierExtension)!.keyId);
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
