// The check of what others have been issued: what would be denied at its renewal, and what is nobody's business.

import { deepStrictEqual as same, doesNotReject, rejects } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { checkIssued, denialOf } from "../../neighbours/issuedLeaves.ts";
import type { CertificateObject } from "../../rotation/lists.ts";
import { clusterUid } from "../support/apisix.ts";
import { KubernetesApi, LoopbackCluster } from "../support/kubernetesApi.ts";

const generations = [
  { name: "1", founder: true, trustDomain: "old.internal" },
  { name: "2", founder: false, trustDomain: "new.internal" },
];
const certManager = { install: true, namespace: "cert-manager", approver: { install: true } };
const env = { namespace: "mtls", certManager, gateway: { hosts: [{ namespace: "shop", host: "shop.example" }] } };

/** A leaf in namespace `shop` as it is issued: a server's for its host, but for what is given. */
function leaf(spec: Partial<CertificateObject["spec"]>, issued = true, namespace = "shop"): CertificateObject {
  return {
    metadata: { name: "shop", namespace, generation: 1 },
    spec: {
      issuerRef: { kind: "ClusterIssuer", name: "mtls-edge" },
      ...{ uris: ["spiffe://old.internal/ns/shop/sa/shop"], usages: ["server auth"], dnsNames: ["shop.example"] },
      ...spec,
    },
    status: { conditions: [{ type: "Ready", status: issued ? "True" : "False" }] },
  };
}
const denial = (...given: Parameters<typeof leaf>) => denialOf(leaf(...given), env, generations);

describe("a leaf of another namespace", () => {
  it("goes on if the policies allow it", () => {
    const second = { issuerRef: { kind: "ClusterIssuer", name: "mtls-upstream-2" } };
    const uris = ["spiffe://new.internal/ns/shop/sa/shop"];
    same([denial({}), denial({ ...second, uris, dnsNames: ["shop.shop.svc"] })], [undefined, undefined]);
    same(denial({ usages: ["digital signature", "client auth"], dnsNames: [] }), undefined);
  });

  it("would be denied with another identity, or none, with both usages, or none, and for a host that is not its own", () => {
    const identity =
      "Certificate shop/shop: it must have the identity of a service account in its namespace. Set spec.uris to one such as spiffe://old.internal/ns/shop/sa/shop.";
    same(denial({ uris: [] }), identity);
    same(
      denial({ uris: ["spiffe://old.internal/ns/shop/sa/shop", "spiffe://old.internal/ns/mtls/sa/apisix"] }),
      identity,
    );
    same(denial({ uris: ["spiffe://new.internal/ns/shop/sa/shop"] }), identity);
    const usage =
      'Certificate shop/shop: it must be for clients or for servers. Set spec.usages to one of "client auth" and "server auth".';
    same([denial({ usages: [] }), denial({ usages: ["server auth", "client auth"] })], [usage, usage]);
    const host = (name: string) => `Certificate shop/shop: add "shop/${name}" to gateway.hosts.`;
    same(denial({ dnsNames: ["shop.example", "other.example"] }), host("other.example"));
  });

  it("is not looked at before it is issued, in the platform's namespace, or from somebody else's issuer", () => {
    const uris: string[] = [];
    same(denial({ uris }, false), undefined);
    same(denial({ uris }, true, "mtls"), undefined);
    for (const issuerRef of [
      { name: "mtls-edge" },
      { kind: "ClusterIssuer", name: "other-edge" },
      { kind: "ClusterIssuer", name: "mtls-edge", group: "example.com" },
    ]) {
      same(denial({ uris, issuerRef }), undefined);
    }
  });

  describe("in a cluster", () => {
    let api: KubernetesApi;
    let cluster: LoopbackCluster;
    before(async () => {
      await pulumi.runtime.setMocks({ newResource: ({ name }) => ({ id: name, state: {} }), call: () => ({}) });
    });
    beforeEach(async () => {
      api = await KubernetesApi.start(clusterUid);
      cluster = new LoopbackCluster({ kubeconfig: api.kubeconfig });
    });
    afterEach(() => api.stop());

    const path = "/apis/cert-manager.io/v1/certificates";

    it("is looked for in every namespace, where requests are limited", async () => {
      api.answers.set(path, { items: [leaf({}), leaf({ dnsNames: ["other.example"] })] });
      await rejects(
        checkIssued(cluster, env, generations),
        /^Error: With this update, .*\n {2}Certificate shop\/shop: add .*\nNothing/,
      );
      const unlimited = { ...env, certManager: { ...certManager, approver: { install: false } } };
      await doesNotReject(checkIssued(cluster, unlimited, generations));
    });

    it("is not found where cert-manager is not there yet, nor where the caller may not look", async () => {
      await doesNotReject(checkIssued(cluster, env, generations));
      api.answers.set(path, 403);
      await doesNotReject(checkIssued(cluster, env, generations));
    });
  });
});
