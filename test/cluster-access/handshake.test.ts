// Looking at what a server shows, even if it refuses its client or its leaf has expired.

import "reflect-metadata";

import { deepStrictEqual as same, rejects, strictEqual as equal } from "node:assert/strict";
import { type webcrypto, X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import tls from "node:tls";

import * as x509 from "@peculiar/x509";

import { type KeyPair } from "../../cluster-access/certificates.ts";
import { handshake, rootOf, shownBy } from "../../cluster-access/handshake.ts";
import { Authority } from "../support/authorities.ts";

describe("what a server shows", () => {
  const servers: tls.Server[] = [];
  let authority: Authority;
  before(async () => (authority = await Authority.create("edge")));
  afterEach(() => servers.splice(0).forEach((server) => server.close()));

  const serve = async (pair: KeyPair, options: tls.TlsOptions = {}) => {
    const server = tls.createServer({ ...pair, ...options }, (socket) => socket.on("error", () => undefined));
    servers.push(server.on("tlsClientError", () => undefined));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  };
  const leaf = (lifetime?: number) =>
    authority.leaf({
      ...{ subject: "CN=server", dnsNames: ["server.test"], usages: ["server auth"] },
      ...(lifetime === undefined ? {} : { lifetime }),
    });
  const subjects = (chain: readonly X509Certificate[]) => chain.map(({ subject }) => subject);
  const root = () => new X509Certificate(authority.root);

  it("is its leaf, even an expired one, which a client would refuse", async () => {
    const at = await serve(await leaf(0));
    await rejects(handshake(at, "server.test", { ca: authority.root }), { code: "CERT_HAS_EXPIRED" });
    same(subjects(await shownBy(at, "server.test")), ["CN=server"]);
  });

  it("is seen in TLS 1.2 by a client that is refused", async () => {
    const others = await Authority.create("others");
    const at = await serve(await leaf(), { requestCert: true, ca: others.root, maxVersion: "TLSv1.2" });
    same(subjects(await shownBy(at, "server.test")), ["CN=server"]);
  });

  it("is accepted with the policy's versions and suites, and no others", async () => {
    const tried = async (options: tls.TlsOptions) => {
      const at = await serve(await leaf(), options);
      const client = { ca: authority.root };
      return handshake(at, "server.test", client).then(
        (socket) => {
          const taken = `${socket.getProtocol()} ${socket.getCipher().name}`;
          socket.destroy();
          return taken;
        },
        ({ code }: NodeJS.ErrnoException) => code,
      );
    };
    const old = { maxVersion: "TLSv1.2" } as const;
    same(
      {
        anything: (await tried({}))?.split(" ")[0],
        ...{ "CBC, SHA-1": await tried({ ...old, ciphers: "ECDHE-ECDSA-AES128-SHA" }) },
        ...{ "CBC, SHA-384": await tried({ ...old, ciphers: "ECDHE-ECDSA-AES256-SHA384" }) },
        ...{ GCM: await tried({ ...old, ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" }) },
        ...{ "TLS 1.1": await tried({ minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" }) },
      },
      {
        anything: "TLSv1.3",
        ...{ "CBC, SHA-1": "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE" },
        ...{ "CBC, SHA-384": "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE" },
        ...{ GCM: "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384" },
        ...{ "TLS 1.1": "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION" },
      },
    );
  });

  it("cannot be seen if nothing speaks TLS", async () => {
    await rejects(shownBy({ host: "127.0.0.1", port: 1 }, "server.test"), { code: "ECONNREFUSED" });
  });

  it("leads through its intermediates to the root that signed them, and to no other of the same name", async () => {
    const { pair, intermediate } = await underIntermediate(authority);
    const chain = await shownBy(await serve({ ...pair, cert: pair.cert + intermediate }), "server.test");
    same(subjects(chain), ["CN=server", "CN=intermediate"]);
    const impostor = new X509Certificate((await Authority.create("edge")).root);
    equal(rootOf(chain, [impostor, root()])?.fingerprint256, root().fingerprint256);
    equal(rootOf(chain.slice(0, 1), [root()]), undefined);
    equal(rootOf(chain, [impostor]), undefined);
    equal(rootOf([], [root()]), undefined);
  });
});

/** A leaf, and the intermediate that signed it. */
async function underIntermediate(authority: Authority): Promise<{ pair: KeyPair; intermediate: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const newKeys = (): Promise<webcrypto.CryptoKeyPair> =>
    crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const [own, keys] = [await newKeys(), await newKeys()];
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    ...{ name: "CN=intermediate", keys: own, signingAlgorithm: algorithm },
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const intermediate = await authority.sign(request.toString("pem"), 3_600_000);
  const certificate = await x509.X509CertificateGenerator.create({
    ...{ subject: "CN=server", issuer: "CN=intermediate", publicKey: keys.publicKey, signingKey: own.privateKey },
    ...{ signingAlgorithm: algorithm, notBefore: new Date(), notAfter: new Date(Date.now() + 3_600_000) },
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "server.test" }])],
  });
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
  return { pair: { cert: `${certificate.toString("pem")}\n`, key }, intermediate };
}
