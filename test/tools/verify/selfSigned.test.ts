// What an attacker without a signer can make: everything but the signature is right.

import { deepEqual } from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";

import { covers, type KeyPair, selfSigned } from "../../../cluster-access/certificates.ts";
import { forged, selfSignedServer } from "../../../tools/verify/selfSigned.ts";
import { Authority } from "../../support/authorities.ts";

describe("a certificate that nobody signed", () => {
  const seen = ({ cert, key }: KeyPair) => {
    const leaf = new X509Certificate(cert);
    const { subject, subjectAltName: names } = leaf;
    return { subject, names, own: selfSigned(leaf), matches: leaf.checkPrivateKey(createPrivateKey(key)) };
  };

  it("has the names of the one that it claims to be, even none", async () => {
    const authority = await Authority.create("any");
    const uris = ["spiffe://dev/ns/mtls/sa/apisix"];
    for (const names of [{ subject: "O=dev,OU=mtls,CN=apisix", uris }, { uris }, { subject: "CN=deployer" }]) {
      const original = await authority.leaf(names);
      deepEqual(seen(await forged(original)), { ...seen(original), own: true });
    }
  });

  it("is for a server's name", async () => {
    const pair = await selfSignedServer("server.invalid");
    deepEqual(
      [seen(pair).own, seen(pair).matches, covers(new X509Certificate(pair.cert), "server.invalid")],
      [true, true, true],
    );
  });
});
