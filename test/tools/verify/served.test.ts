// What is said about a served certificate, by the cluster's clock.

import { deepStrictEqual as same } from "node:assert/strict";
import { X509Certificate } from "node:crypto";

import { digestOf } from "../../../cluster-access/certificates.ts";
import { type Declared, judged } from "../../../tools/verify/served.ts";
import { Authority } from "../../support/authorities.ts";

describe("a served certificate", () => {
  const minute = 60_000;
  let authority: Authority;
  let other: Authority;
  let leaf: X509Certificate;
  let start: number;
  before(async () => {
    [authority, other] = [await Authority.create("edge"), await Authority.create("edge")];
    leaf = await issued();
    start = Number(leaf.validFromDate);
  });

  const issued = async () => new X509Certificate((await authority.leaf({ subject: "CN=gateway" })).cert);
  const roots = (...authorities: Authority[]) => authorities.map(({ root }) => new X509Certificate(root));
  const at = (now: number, declared?: Declared, trusted = roots(authority), generations = {}) =>
    judged([leaf], { roots: trusted, generations }, declared, now);
  const shown = () => ({
    serial: leaf.serialNumber,
    root: "edge root",
    notAfter: leaf.validToDate.toISOString().replace(".000Z", "Z"),
  });
  /** The leaf as if issued this much later. */
  const dated = (certificate: X509Certificate, later: number) => ({
    fingerprint256: certificate.fingerprint256,
    validFromDate: new Date(start + later),
  });
  const holding = (certificate: object): Declared => ({ name: "mtls/gateway", leaf: certificate as X509Certificate });

  it("is right if its Secret holds the same one, or is not known", () => {
    same(at(start, holding(leaf)), { ...shown(), verdict: "right", remark: "" });
    same(at(start), { ...shown(), verdict: "right", remark: "" });
  });

  it("is wrong once it has expired, and not before", () => {
    const end = Number(leaf.validToDate);
    same([at(end).verdict, at(end + 1)], ["right", { ...shown(), verdict: "wrong", remark: "It has expired." }]);
  });

  it("is wrong if its clients do not trust its root", () => {
    same(at(start, undefined, roots(other)), {
      ...{ ...shown(), root: "none trusted", verdict: "wrong" },
      remark: "Its chain does not end at a root that its clients trust.",
    });
  });

  it("names a root by fingerprint if another has the same common name", () => {
    same(at(start, undefined, roots(other, authority)).root, digestOf(authority.root).slice(0, 8));
  });

  it("names its root's generation, if known", () => {
    const [mine, theirs] = roots(authority, other).map((root) => digestOf(root.toString())) as [string, string];
    const named = at(start, undefined, roots(other, authority), { "2026": [theirs], "2027": [theirs, mine] });
    same(
      [named.generation, at(start, undefined, roots(authority), { "2026": [theirs] }).generation],
      ["2027", undefined],
    );
  });

  it("may lag behind its Secret for two minutes with a warning, and is wrong from then on", async () => {
    const newer = holding(dated(await issued(), 10 * minute));
    const remark = `Secret mtls/gateway holds a newer one, valid from ${new Date(start + 10 * minute).toISOString().replace(".000Z", "Z")}.`;
    same(at(start + 12 * minute, newer), { ...shown(), verdict: "warning", remark });
    same(at(start + 12 * minute + 1, newer), { ...shown(), verdict: "wrong", remark });
  });

  it("may likewise be ahead of its Secret: somebody may have put an old one back", async () => {
    const older = holding(dated(await issued(), -10 * minute));
    const remark = `Secret mtls/gateway holds another one, valid from ${new Date(start - 10 * minute).toISOString().replace(".000Z", "Z")}.`;
    same(at(start + 2 * minute, older), { ...shown(), verdict: "warning", remark });
    same(at(start + 2 * minute + 1, older), { ...shown(), verdict: "wrong", remark });
  });

  it("gets a warning if its Secret cannot be read", () => {
    const problem = "Secret mtls/gateway does not exist.";
    same(at(start, { name: "mtls/gateway", problem }), { ...shown(), verdict: "warning", remark: problem });
  });
});
