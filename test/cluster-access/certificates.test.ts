// Certificates that the Admin API would accept but with which every handshake would fail.

import { deepStrictEqual as same, match, strictEqual as equal } from "node:assert/strict";
import { X509Certificate } from "node:crypto";

import {
  bundleProblems,
  covers,
  digestOf,
  keyFamily,
  notAfter,
  pairProblems,
} from "../../cluster-access/certificates.ts";
import { Authority } from "../support/authorities.ts";

describe("certificates", () => {
  let authority: Authority;
  const [earlier, later] = [new Date("1900-01-01"), new Date("2200-01-01")];

  before(async () => {
    authority = await Authority.create("edge");
  });

  it("have no problems if pair, validity and names are right", async () => {
    same(
      pairProblems(await authority.leaf({ dnsNames: ["a.example", "*.b.example"] }), ["a.example", "x.b.example"]),
      [],
    );
  });

  it("are distinguished by their leaf's kind of key", async () => {
    for (const family of ["ECDSA", "RSA"] as const) equal(keyFamily((await authority.leaf({ family })).cert), family);
  });

  it("are refused with everything that is wrong", async () => {
    const leaf = await authority.leaf({ subject: "CN=site,O=test", dnsNames: ["a.example"] });
    const { key } = await authority.leaf({});
    const expiry = notAfter(leaf.cert).toISOString();
    same(pairProblems({ cert: leaf.cert, key }, ["b.example"], later), [
      `The certificate of "CN=site, O=test" expired at ${expiry}.`,
      'The private key does not belong to the certificate of "CN=site, O=test".',
      'The certificate does not cover "b.example": it is for a.example.',
    ]);
    match(pairProblems(leaf, [], earlier).join(), /^The certificate of "CN=site, O=test" is not valid before .*Z\.$/);
    same(pairProblems({ cert: leaf.cert, key: "garbage" }), [
      'The private key does not belong to the certificate of "CN=site, O=test".',
    ]);
    same(pairProblems({ cert: "garbage", key }), ["The PEM text contains no certificate."]);
    same(pairProblems({ cert: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", key }), [
      "Certificate 1 of 1 cannot be read.",
    ]);
  });

  it("cover names by exact SANs and by wildcards of one label", async () => {
    const leaf = new X509Certificate((await authority.leaf({ dnsNames: ["a.example", "*.b.example"] })).cert);
    const names = [
      "a.example",
      "A.Example",
      "x.b.example",
      "*.b.example",
      "b.example",
      "x.y.b.example",
      "*.a.example",
      "aXexample",
    ];
    same(
      names.filter((name) => covers(leaf, name)),
      ["a.example", "A.Example", "x.b.example", "*.b.example"],
    );
  });

  it("of a bundle are live roots", async () => {
    const other = await Authority.create("other");
    const { cert } = await authority.leaf({ subject: "CN=leaf" });
    same(bundleProblems(authority.root + other.root), []);
    same(bundleProblems(cert), ['"CN=leaf" is not a certificate authority.']);
    equal(bundleProblems(authority.root + other.root, later).length, 2);
    same(bundleProblems(""), ["The PEM text contains no certificate."]);
  });

  it("have a digest that equals a lone leaf's fingerprint and does not depend on whitespace", async () => {
    const { cert } = await authority.leaf({});
    equal(digestOf(cert), new X509Certificate(cert).fingerprint256.replaceAll(":", "").toLowerCase());
    equal(digestOf(`# comment\n${cert}\n\n${authority.root}`), digestOf(cert + authority.root));
  });
});
