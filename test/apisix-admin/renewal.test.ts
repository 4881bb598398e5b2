// What the gateway's renewer writes, and which certificates are left to it.

import { deepStrictEqual as same, strictEqual as equal } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { type Body } from "../../apisix-admin/body.ts";
import { leftToRenewer, renewedLeaf } from "../../apisix-admin/renewal.ts";
import { digestOf, type KeyPair } from "../../cluster-access/certificates.ts";
import { Authority } from "../support/authorities.ts";

const minute = 60_000;

describe("a renewed leaf", () => {
  let edge: Authority;
  let old: KeyPair;
  let next: KeyPair;
  const names = ["a.example"];
  const object = (pair: KeyPair, secret = "mtls/site"): Body => ({
    cert: pair.cert,
    key: pair.key,
    labels: { "mtls-everywhere.certificate": digestOf(pair.cert), "mtls-everywhere.secret": secret },
  });
  const leaf = (lifetime = 60 * minute) => edge.leaf({ dnsNames: names, lifetime });
  /** What the server gives back has no key. */
  const live = ({ key: _key, ...shown }: Body): Body => shown;

  before(async () => {
    edge = await Authority.create("edge");
    old = await leaf();
    await sleep(1_100); // certificates count in seconds
    next = await leaf();
  });

  it("is written with its key, its digest and what seals it, but not the clients' trust", () => {
    same(renewedLeaf(next, "2-0123abcd"), {
      cert: next.cert,
      key: next.key,
      labels: { "mtls-everywhere.certificate": digestOf(next.cert), "mtls-everywhere.sealed": "2-0123abcd" },
    });
  });

  it("is left to the renewer while an earlier one from the same Secret is served", () => {
    equal(leftToRenewer(object(next), live(object(old)), names), true);
  });

  it("is not if the live one came from another or an unknown Secret", () => {
    equal(leftToRenewer(object(next), live(object(old, "mtls/other")), names), false);
    equal(leftToRenewer(object(next), { cert: old.cert }, names), false);
    const labels = object(old)["labels"];
    equal(leftToRenewer(object(next), { cert: edge.root, labels }, names), false);
  });

  it("is not if the live one is newer", () => {
    equal(leftToRenewer(object(old), live(object(next)), names), false);
  });

  it("is not if the live one has expired or the Secret's cannot serve", async () => {
    const past = await leaf(-minute);
    equal(leftToRenewer(object(next), live(object(past)), names), false);
    equal(leftToRenewer(object(past), live(object(old)), names), false);
    equal(leftToRenewer(object({ ...next, key: old.key }), live(object(old)), names), false);
    equal(leftToRenewer(object(next), live(object(old)), ["b.example"]), false);
    equal(leftToRenewer({ ...object(next), cert: "garbage" }, live(object(old)), names), false);
  });
});
