// What certificates and their keys say, and what is wrong with them, in plain sentences: the Admin API checks little of it.

import { createHash, createPrivateKey, X509Certificate } from "node:crypto";

import type { KeyFamily } from "@mtls-everywhere/vocabulary/algorithms";

/** A certificate chain with its private key, both PEM. Lives in memory only. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** SHA-256 over a PEM text's certificates, hex. For a single certificate it is the usual fingerprint; spacing and comments don't count. */
export function digestOf(pem: string): string {
  const hash = createHash("sha256");
  for (const certificate of certificatesOf(pem)) hash.update(certificate.raw);
  return hash.digest("hex");
}

/** When a chain's leaf expires. */
export function notAfter(pem: string): Date {
  return leafOf(pem).validToDate;
}

/** The certificates of a PEM text, in order. Throws when there is none or one cannot be read. */
export function certificatesOf(pem: string): X509Certificate[] {
  const blocks = blocksOf(pem);
  if (blocks.length === 0) throw new Error("The PEM text contains no certificate.");
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new Error(`Certificate ${index + 1} of ${blocks.length} cannot be read.`, { cause: error });
    }
  });
}

/** The bare PEM blocks of a pair: APISIX takes a key for ciphertext when anything precedes it. */
export function neededBlocks({ cert, key }: KeyPair): KeyPair {
  return { cert: certificateBlocks(cert), key: `${keyBlock(key)}\n` };
}

/** The certificates of a PEM text, without the text between them. */
export function certificateBlocks(pem: string): string {
  return blocksOf(pem)
    .map((block) => `${block}\n`)
    .join("");
}

/** What is wrong with a leaf and its key at a given time, for the names it is to serve. Empty when all is well. */
export function pairProblems(pair: KeyPair, names: readonly string[] = [], now = new Date()): string[] {
  let chain: X509Certificate[];
  try {
    chain = certificatesOf(pair.cert);
  } catch (error) {
    return [(error as Error).message];
  }
  if (isEncrypted(pair.key)) return ["The private key is encrypted, and the gateway has no passphrase for it."];
  const leaf = chain.find((certificate) => keyMatches(certificate, pair.key)) ?? chain[0]!;
  if (isDisordered(chain, leaf))
    return [`The chain is in the wrong order: ${nameOf(leaf)} must come first, then its issuers.`];
  const problems = validityProblems(leaf, now);
  if (!keyMatches(leaf, pair.key))
    problems.push(`The private key does not belong to the certificate of ${nameOf(leaf)}.`);
  for (const name of names.filter((name) => !covers(leaf, name))) {
    problems.push(`The certificate does not cover "${name}": it is for ${dnsNames(leaf).join(", ") || "no DNS name"}.`);
  }
  return problems;
}

/** What is wrong with a trust bundle at a given time. Empty when all is well. */
export function bundleProblems(pem: string, now = new Date()): string[] {
  let roots: X509Certificate[];
  try {
    roots = certificatesOf(pem);
  } catch (error) {
    return [(error as Error).message];
  }
  return roots.flatMap((root) => [
    ...validityProblems(root, now),
    ...(root.ca ? [] : [`${nameOf(root)} is not a certificate authority.`]),
  ]);
}

/** What kind of key a PEM chain's leaf has: a TLS client or server holds one certificate of each kind. */
export function keyFamily(pem: string): KeyFamily | undefined {
  return families[leafOf(pem).publicKey.asymmetricKeyType ?? ""];
}

const families: Readonly<Record<string, KeyFamily>> = { ec: "ECDSA", rsa: "RSA" };

/** Whether a certificate signed itself, as roots do. */
export function selfSigned(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);
}

/** Whether a leaf's SANs cover a name. */
export function covers(leaf: X509Certificate, name: string): boolean {
  return namesCover(dnsNames(leaf), name);
}

/** Whether a PEM chain's leaf covers all names. */
export function coversAll(chain: string, names: readonly string[]): boolean {
  return names.every((name) => covers(leafOf(chain), name));
}

/** Whether one of the names is, or matches, the wanted one; a wildcard, on either side, stands for exactly one label. */
export function namesCover(names: readonly string[], name: string): boolean {
  const wanted = name.toLowerCase();
  return names.some((san) => {
    const given = san.toLowerCase();
    return (
      given === wanted ||
      (given.startsWith("*.") && !wanted.startsWith("*.") && wanted.slice(wanted.indexOf(".")) === given.slice(1))
    );
  });
}

function blocksOf(pem: string): string[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => block.replaceAll("\r", ""));
}

/** The private key of a PEM text; the text itself where there is none. */
function keyBlock(pem: string): string {
  const [block] = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]+?-----END \1-----/.exec(pem) ?? [pem];
  return block.replaceAll("\r", "");
}

function isEncrypted(key: string): boolean {
  return /^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(keyBlock(key));
}

/** Whether the leaf is not first, or a certificate's issuer does not follow it. Certificates outside the chain may be anywhere. */
function isDisordered(chain: readonly X509Certificate[], leaf: X509Certificate): boolean {
  const astray = (certificate: X509Certificate, at: number) =>
    !selfSigned(certificate) &&
    !(chain[at + 1] && certificate.checkIssued(chain[at + 1]!)) &&
    chain.some((other) => certificate.checkIssued(other));
  return chain[0] !== leaf || chain.some(astray);
}

function leafOf(pem: string): X509Certificate {
  return certificatesOf(pem)[0]!;
}

function validityProblems(certificate: X509Certificate, now: Date): string[] {
  const { validFromDate: from, validToDate: to } = certificate;
  if (now >= to) return [`The certificate of ${nameOf(certificate)} expired at ${to.toISOString()}.`];
  if (now < from) return [`The certificate of ${nameOf(certificate)} is not valid before ${from.toISOString()}.`];
  return [];
}

function keyMatches(leaf: X509Certificate, key: string): boolean {
  try {
    return leaf.checkPrivateKey(createPrivateKey(keyBlock(key)));
  } catch {
    return false; // An unreadable key's own error could quote it.
  }
}

function dnsNames(leaf: X509Certificate): string[] {
  return [...(leaf.subjectAltName ?? "").matchAll(/DNS:([^,\s]+)/g)].map((match) => match[1]!);
}

function nameOf(certificate: X509Certificate): string {
  const name = certificate.subject || certificate.subjectAltName || `serial ${certificate.serialNumber}`;
  return `"${name.replaceAll("\n", ", ")}"`;
}
