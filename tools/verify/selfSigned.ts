// Certificates that nobody signed: what an attacker can always make.

import "reflect-metadata";

import { KeyObject, webcrypto } from "node:crypto";

import type { KeyPair } from "@mtls-everywhere/cluster-access";
import {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralName,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** On any day: nothing but the signature is wrong. */
const valid = { notBefore: new Date("2000-01-01"), notAfter: new Date("2100-01-01") };

/** A certificate that claims to be another one: the same subject and the same names. */
export async function forged({ cert }: KeyPair): Promise<KeyPair> {
  const original = new X509Certificate(cert);
  const names = original.getExtension(SubjectAlternativeNameExtension)?.names.toJSON() ?? [];
  return selfSigned(original.subject, names);
}

/** A server's certificate for a name. */
export function selfSignedServer(name: string): Promise<KeyPair> {
  return selfSigned(`CN=${name}`, [{ type: "dns", value: name }]);
}

async function selfSigned(subject: string, names: JsonGeneralName[]): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: subject,
    keys,
    signingAlgorithm: algorithm,
    ...valid,
    extensions: [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth, ExtendedKeyUsage.serverAuth]),
      ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names, subject === "")] : []),
    ],
  });
  const key = KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" });
  return { cert: certificate.toString("pem"), key: String(key) };
}
