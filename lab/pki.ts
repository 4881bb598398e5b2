/** The lab cluster's own certificates: a throw-away CA, a certificate per component, and kubeconfigs that hold them. */
import "reflect-metadata";

import { generateKeyPairSync, webcrypto } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { stringify } from "yaml";
import { addresses } from "./inside/addresses.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const lifetime = 30 * 24 * 3600 * 1000;

interface Identity {
  subject: string;
  usages: ("clientAuth" | "serverAuth")[];
  names?: x509.JsonGeneralName[];
}

const dns = (...values: string[]) => values.map((value) => ({ type: "dns" as const, value }));
const ip = (...values: string[]) => values.map((value) => ({ type: "ip" as const, value }));
const client = (subject: string): Identity => ({ subject, usages: ["clientAuth"] });

const identities: Record<string, Identity> = {
  apiserver: {
    subject: "CN=kube-apiserver",
    usages: ["serverAuth"],
    names: [
      ...dns(
        "localhost",
        ...["", ".default", ".default.svc", ".default.svc.cluster.local"].map((suffix) => `kubernetes${suffix}`),
      ),
      ...ip("127.0.0.1", addresses.apiService, addresses.node),
    ],
  },
  kubelet: {
    subject: "O=system:nodes,CN=system:node:lab",
    usages: ["serverAuth", "clientAuth"],
    names: [...dns("lab"), ...ip(addresses.node, "127.0.0.1")],
  },
  admin: client("O=system:masters,CN=admin"),
  "kube-controller-manager": client("CN=system:kube-controller-manager"),
  "kube-scheduler": client("CN=system:kube-scheduler"),
  "kube-proxy": client("CN=system:kube-proxy"),
  coredns: client("CN=lab:coredns"),
};

/**
 * Writes `ca.crt`, `ca.key`, `sa.key`, `sa.pub` and, for each component, `.crt`, `.key` and `.kubeconfig` to `folder`;
 * returns the text of the administrator's kubeconfig for the host.
 */
export async function makePki(folder: string, hostPort: number): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const write = (name: string, text: string) => writeFile(join(folder, name), text, { mode: 0o600 });
  const [notBefore, notAfter] = [new Date(Date.now() - 60_000), new Date(Date.now() + lifetime)];

  const caKeys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=mtls-everywhere lab",
    keys: caKeys,
    signingAlgorithm: algorithm,
    notBefore,
    notAfter,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  const caText = ca.toString("pem");
  await write("ca.crt", caText);
  await write("ca.key", await privatePem(caKeys.privateKey));

  const kubeconfig = (user: string, server: string, certificate: string, key: string) => {
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    return stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "lab", cluster: { server, "certificate-authority-data": base64(caText) } }],
      users: [{ name: user, user: { "client-certificate-data": base64(certificate), "client-key-data": base64(key) } }],
      contexts: [{ name: "lab", context: { cluster: "lab", user } }],
      "current-context": "lab",
    });
  };

  let admin = "";
  for (const [name, identity] of Object.entries(identities)) {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const certificate = await x509.X509CertificateGenerator.create({
      subject: identity.subject,
      issuer: ca.subject,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: algorithm,
      notBefore,
      notAfter,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(identity.usages.map((usage) => x509.ExtendedKeyUsage[usage])),
        ...(identity.names === undefined ? [] : [new x509.SubjectAlternativeNameExtension(identity.names)]),
        await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
      ],
    });
    const [text, key] = [certificate.toString("pem"), await privatePem(keys.privateKey)];
    await write(`${name}.crt`, text);
    await write(`${name}.key`, key);
    await write(`${name}.kubeconfig`, kubeconfig(name, `https://127.0.0.1:${addresses.apiPort}`, text, key));
    if (name === "admin") admin = kubeconfig(name, `https://127.0.0.1:${hostPort}`, text, key);
  }

  const account = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await write("sa.key", account.privateKey.export({ type: "sec1", format: "pem" }).toString());
  await write("sa.pub", account.publicKey.export({ type: "spki", format: "pem" }).toString());
  return admin;
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY") + "\n";
}
