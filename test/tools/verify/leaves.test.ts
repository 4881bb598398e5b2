// The leaves of one run: what is asked for, how often, and when an expired one counts as such.

import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { mock } from "node:test";

import { certificatesOf } from "../../../cluster-access/certificates.ts";
import type { LeafOrder } from "../../../tools/verify/certificates.ts";
import { Leaves } from "../../../tools/verify/leaves.ts";
import { Uncheckable } from "../../../tools/verify/unchecked.ts";
import { Authority } from "../../support/authorities.ts";
import { outputs } from "../../support/outputs.ts";

const anywhere = new AbortController().signal;

describe("a run's leaves", () => {
  let authority: Authority;
  const orders: LeafOrder[] = [];
  /** Signs for so many milliseconds. */
  const leavesFor = (lifetime: number) =>
    new Leaves(
      outputs,
      {
        issue: async (order) => {
          orders.push(order);
          return authority.leaf({ subject: "CN=verify", lifetime });
        },
        remove: async () => undefined,
      },
      "verify-1",
      anywhere,
    );
  before(async () => (authority = await Authority.create("any")));
  beforeEach(() => void (orders.length = 0));
  afterEach(() => mock.restoreAll());

  it("are asked for once, for what they are to show", async () => {
    const leaves = leavesFor(60_000);
    await leaves.of("client", "etcd-peer");
    await leaves.of("client", "upstream");
    equal(await leaves.of("server", "etcd"), await leaves.of("server", "etcd"));
    const identity = { trustDomain: "dev", namespace: "mtls", serviceAccount: "verify" };
    deepEqual(orders, [
      {
        ...{ issuer: outputs.issuers["etcd-peer"], identity, subject: false, dnsNames: [] },
        ...{ usages: ["client auth"], lifetime: 60 },
      },
      {
        ...{ issuer: outputs.issuers.upstream, identity, subject: true },
        ...{ dnsNames: ["verify-1-upstream-client.invalid"], usages: ["client auth"], lifetime: 60 },
      },
      {
        ...{ issuer: outputs.issuers.etcd, identity, subject: false },
        ...{ dnsNames: ["verify-1-etcd-server.invalid"], usages: ["server auth"], lifetime: 60 },
      },
    ]);
  });

  it("are replaced when half of their minute is over", async () => {
    const leaves = leavesFor(60_000);
    const first = await leaves.of("client", "edge");
    const start = performance.now();
    mock.method(performance, "now", () => start + 29_000);
    equal(await leaves.of("client", "edge"), first);
    mock.restoreAll();
    mock.method(performance, "now", () => start + 31_000);
    ok((await leaves.of("client", "edge")) !== first);
    equal(orders.length, 2);
  });

  it("have expired when they are called so", async () => {
    const { cert } = await leavesFor(1_000).of("expired", "edge");
    ok(Number(certificatesOf(cert)[0]!.validToDate) < Date.now());
  });

  it("cannot be had expired where the signer has its own mind about lifetimes", async () => {
    await rejects(
      leavesFor(3_600_000).of("expired", "edge"),
      new Uncheckable("The issuer signed for 3600 s, where 2 s were asked for."),
    );
  });
});
