// What the renewer decides about a certificate and its Secret: pure rules, whatever the clock says.

import { deepStrictEqual as same, strictEqual as equal } from "node:assert/strict";

import { certificatesOf, type KeyPair, pairProblems } from "../../cluster-access/certificates.ts";
import { agrees, decide, endOf, fingerprintOf, type Found, liveCertificates } from "../../renewer/decide.ts";
import { Authority } from "../support/authorities.ts";

const secret = { namespace: "mtls", name: "gateway" };
const at = (pair: KeyPair, seconds: number) =>
  new Date(Number(certificatesOf(pair.cert)[0]!.validFromDate) + 1_000 * seconds);

describe("the renewer's decisions", () => {
  let edge: Authority;
  let old: KeyPair;
  let renewed: KeyPair;
  const live = (cert: string, names: readonly string[] = ["site.example"]) => ({ id: "site", secret, names, cert });
  const holds = (pair: KeyPair): Found => ({ kind: "pair", pair });
  const leaf = (dnsNames = ["site.example"], lifetime = 3_600_000) => edge.leaf({ dnsNames, lifetime });

  before(async () => {
    edge = await Authority.create("edge");
    old = await leaf();
    // Certificates have a resolution of one second.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    renewed = await leaf();
  });

  it("do nothing while nothing is known, or if both agree", () => {
    same(decide(live(old.cert), { kind: "unread" }, new Date(), false), { kind: "rest" });
    same(decide(live(old.cert), holds(old), new Date(), false), { kind: "rest" });
    equal(agrees(live(old.cert), { ...old, cert: `text before\n${old.cert}\n` }), true);
  });

  it("renew an older certificate, and one that cannot be read", () => {
    same(decide(live(old.cert), holds(renewed), new Date(), false), { kind: "renew", pair: renewed });
    same(decide(live("no certificate"), holds(old), new Date(), false), { kind: "renew", pair: old });
  });

  it("ask before going back to an older one, and do so if the Secret still has it", () => {
    same(decide(live(renewed.cert), holds(old), new Date(), false), { kind: "ask" });
    same(decide(live(renewed.cert), holds(old), new Date(), true), { kind: "renew", pair: old });
  });

  it("also ask if two were issued in the same second", async () => {
    const [one, other] = await Promise.all([leaf(), leaf()]);
    if (String(at(one, 0)) !== String(at(other, 0))) return;
    same(decide(live(one.cert), holds(other), new Date(), false), { kind: "ask" });
  });

  it("keep the last good one in every bad case, and say what is wrong", async () => {
    const problem = (found: Found) => {
      const decision = decide(live(old.cert), found, new Date(), true);
      return decision.kind === "keep" ? decision.problem : decision.kind;
    };
    equal(problem({ kind: "unusable", problem: "It does not exist." }), "It does not exist.");
    equal(problem(holds({ cert: "emptied", key: "" })), "The PEM text contains no certificate.");
    equal(
      problem(holds({ ...renewed, key: old.key })),
      'The private key does not belong to the certificate of "DNS:site.example".',
    );
    equal(
      problem(holds(await leaf(["other.example"]))),
      'The certificate does not cover "site.example": it is for other.example.',
    );
    const expired = await leaf(["site.example"], -1_000);
    equal(
      problem(holds(expired)),
      `The certificate of "DNS:site.example" expired at ${endOf(expired.cert)?.toISOString()}.`,
    );
  });

  it("tolerate a slow clock, which would otherwise reject a new leaf", () => {
    const behind = at(renewed, -60);
    equal(pairProblems(renewed, [], behind).length, 1);
    same(decide(live(old.cert), holds(renewed), behind, false), { kind: "renew", pair: renewed });
    // A leaf that becomes valid in an hour is of no use now.
    equal(decide(live(old.cert), holds(renewed), at(renewed, -3_600), false).kind, "keep");
  });

  it("accept an expired one at most for as long as a clock may be behind", async () => {
    const short = await leaf(["site.example"], 120_000);
    const decided = (seconds: number) => decide(live(old.cert), holds(short), at(short, seconds), true).kind;
    same([decided(60), decided(118), decided(121), decided(180)], ["renew", "renew", "keep", "keep"]);
  });

  it("concern only objects that name a Secret", () => {
    const labels = { "mtls-everywhere.secret": "team/its.name" };
    same(
      liveCertificates([
        { id: "site", cert: "pem", snis: ["a.example", "*.b.example"], labels },
        { id: "client", type: "client", cert: "pem", labels },
        { id: "by hand", cert: "pem", snis: ["c.example"] },
        { id: "other label", cert: "pem", labels: { "mtls-everywhere.owner": "x" } },
        { id: "nonsense", cert: "pem", labels: { "mtls-everywhere.secret": "a/b/c" } },
        { id: "from a vault", labels },
      ]),
      [
        {
          id: "site",
          secret: { namespace: "team", name: "its.name" },
          names: ["a.example", "*.b.example"],
          cert: "pem",
        },
        { id: "client", secret: { namespace: "team", name: "its.name" }, names: [], cert: "pem" },
      ],
    );
  });

  it("read anything but a certificate as nothing", () => {
    same([endOf(""), fingerprintOf("x")], [undefined, undefined]);
    equal(fingerprintOf(old.cert), certificatesOf(old.cert)[0]!.fingerprint256);
  });
});
