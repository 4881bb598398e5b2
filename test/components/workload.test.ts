// What workloads have in common: what rolls their pods, and what keeps them up.

import { deepStrictEqual as same, notStrictEqual as differs, strictEqual as equal } from "node:assert/strict";

import { disruptionBudget, labelsIn, settingsDigest, upstreamSelector } from "../../components/workload.ts";

describe("a digest of settings", () => {
  it("changes with each of them, and with nothing else", () => {
    const settings = { "nginx.conf": "http {}", roots: "one" };
    equal(settingsDigest(settings), settingsDigest({ ...settings }));
    for (const change of [{ roots: "two" }, { "nginx.conf": "" }]) {
      differs(settingsDigest({ ...settings, ...change }), settingsDigest(settings));
    }
  });
});

describe("a disruption budget", () => {
  it("keeps all pods but one up: a majority of etcd members, a gateway", () => {
    same(disruptionBudget("etcd", "mtls"), {
      metadata: {
        ...{ name: "etcd", namespace: "mtls" },
        labels: { "app.kubernetes.io/name": "etcd", "app.kubernetes.io/part-of": "mtls-everywhere" },
      },
      spec: { maxUnavailable: 1, selector: { matchLabels: { "app.kubernetes.io/name": "etcd" } } },
    });
  });
});

describe("a selector", () => {
  it("is read back as the labels that it asks for", () => {
    same(labelsIn(upstreamSelector), { "mtls-everywhere/upstream": "true" });
    same(labelsIn("a=b,c=d"), { a: "b", c: "d" });
  });
});
