// The certificates that the recordings name, regenerated for every run.

import "reflect-metadata";

import { webcrypto } from "node:crypto";

// @peculiar/x509 needs it but does not import it.
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto);

/** Certificates and keys by the recordings' file names, e.g. `gateway.crt`. */
export type Pems = Readonly<Record<string, string>>;

interface Identity {
  readonly keys: webcrypto.CryptoKeyPair;
  readonly name: string;
  readonly certificate: x509.X509Certificate;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const server = x509.ExtendedKeyUsage.serverAuth;
const client = x509.ExtendedKeyUsage.clientAuth;

interface Leaf {
  readonly usages?: readonly string[];
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
  readonly expired?: boolean;
  readonly isAuthority?: boolean;
  readonly subject?: string;
}

let serial = 1;

async function issue(commonName: string, issuer: Identity | undefined, options: Leaf): Promise<Identity> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const name = options.subject ?? `CN=${commonName}, O=ref`;
  const names: x509.JsonGeneralNames = [
    ...(options.dns ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(options.ips ?? []).map((value) => ({ type: "ip" as const, value })),
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: (serial++).toString(16).padStart(4, "0"),
    subject: name,
    issuer: issuer?.name ?? name,
    // Valid on any day, by any clock: etcd and the stand-in have their own.
    notBefore: new Date("2000-01-01"),
    notAfter: new Date(options.expired ? "2000-01-02" : "2100-01-01"),
    publicKey: keys.publicKey,
    signingKey: (issuer ?? { keys }).keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(options.isAuthority === true, undefined, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(options.usages ? [new x509.ExtendedKeyUsageExtension([...options.usages])] : []),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return { keys, name, certificate };
}

/** Makes every certificate in the recordings, and a few for etcd. All keys are ECDSA P-256: the recordings' RSA does not matter. */
export async function makePems(): Promise<Pems> {
  const pems: Record<string, string> = {};
  const keep = async (file: string, identity: Identity) => {
    pems[`${file}.crt`] = `${identity.certificate.toString("pem")}\n`;
    const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", identity.keys.privateKey)).toString("base64");
    pems[`${file}.key`] =
      `-----BEGIN PRIVATE KEY-----\n${key.replace(/(.{64})/g, "$1\n").trimEnd()}\n-----END PRIVATE KEY-----\n`;
    return identity;
  };
  const authority = async (file: string, commonName: string, issuer?: Identity) =>
    keep(file, await issue(commonName, issuer, { isAuthority: true }));
  const leaf = async (file: string, issuer: Identity, options: Leaf, commonName = file) =>
    keep(file, await issue(commonName, issuer, options));

  const ca = await authority("ca", "Ref Root CA");
  const ca2 = await authority("ca2", "Ref Root CA 2");
  const wrong = await authority("wrongca", "Wrong CA");
  const etcd = await authority("etcd-ca", "etcd root");
  const intermediate = await authority("int-ca", "Ref Intermediate", ca);

  const gatewayNames = ["gw.local", "*.gw.local", "nope.example"];
  await leaf("gateway", ca, { usages: [server], dns: gatewayNames });
  await leaf("gateway-rotated", ca, { usages: [server], dns: gatewayNames });
  await leaf("gateway-ec", ca, { usages: [server], dns: ["ec.local"] });
  await leaf("gateway-expired", ca, { usages: [server], dns: ["exp.local"], expired: true });
  await leaf("upstream", ca, { usages: [server], dns: ["upstream.local"], ips: ["127.0.0.1"] });
  await leaf("upstream-othername", ca, { usages: [server], dns: ["other.local"] });
  await leaf("upstream-wrongca", wrong, { usages: [server], dns: ["upstream.local"] });
  await leaf("upstream-expired", ca, { usages: [server], dns: ["upstream.local"], expired: true });
  await leaf("upstream-client", ca, { usages: [client] }, "apisix-upstream-client");
  await leaf("upstream-client-wrong", wrong, { usages: [client] }, "apisix-upstream-client");
  await leaf("upstream-client-expired", ca, { usages: [client], expired: true }, "apisix-upstream-client");
  await leaf("user-client", ca, { usages: [client] });
  await leaf("user-client-ec", ca, { usages: [client] });
  await leaf("user-expired", ca, { usages: [client], expired: true });
  await leaf("user-wrongca", wrong, { usages: [client] });
  await leaf("user-servereku", ca, { usages: [server] });
  await leaf("user-ca2", ca2, { usages: [client] });
  await leaf("user-int", intermediate, { usages: [client] });
  pems["user-int-chain.crt"] = `${pems["user-int.crt"] ?? ""}${pems["int-ca.crt"] ?? ""}`;
  await leaf("admin-client", ca, { usages: [client] });
  await leaf("apisix-admin", ca, { usages: [server], dns: ["apisix-admin"] });
  await leaf("apisix-admin-rotated", ca, { usages: [server], dns: ["apisix-admin"] });
  const etcdNames = { dns: ["localhost", "etcd.local"], ips: ["127.0.0.1"] };
  await leaf("etcd-server", etcd, { usages: [server, client], ...etcdNames });
  await leaf("etcd-server-only", etcd, { usages: [server], ...etcdNames });
  await leaf("etcd-client", etcd, { usages: [client], subject: "O=ref" });
  await leaf("etcd-client-cn", etcd, { usages: [client] });
  return pems;
}
