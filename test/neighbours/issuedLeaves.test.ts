// The check of what others have been issued: what would be denied at its renewal, and what is nobody's business.

import { deepStrictEqual as same, rejects } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { checkIssued, denialOf } from "../../neighbours/issuedLeaves.ts";
import type { CertificateObject } from "../../rotation/lists.ts";
import { clusterUid } from "../support/apisix.ts";
import { KubernetesApi, LoopbackCluster } from "../support/kubernetesApi.ts";

const trusted = {
  founder: "1",
  generations: [
    { name: "1", trustDomain: "old.internal" },
    { name: "2", trustDomain: "new.internal" },
  ],
};
const certManager = { install: true, namespace: "cert-manager", approver: { install: true } };
const env = { namespace: "mtls", certManager, gateway: { hosts: [{ namespace: "shop", host: "shop.example" }] } };

/** A leaf in namespace `shop` as it is issued: a server's for its host, but for what is given. */
function leaf(spec: Partial<CertificateObject["spec"]>, issued = true, namespace = "shop"): CertificateObject {
  return {
    metadata: { name: "shop", namespace, generation: 1 },
    spec: {
      issuerRef: { kind: "ClusterIssuer", name: "mtls-edge" },
      ...{
        uris: ["spiffe://old.internal/ns/shop/sa/shop"],
        usages: ["server auth"],
        dnsNames: ["shop.example"],
        duration: "24h0m0s",
      },
      ...spec,
    },
    status: { conditions: [{ type: "Ready", status: issued ? "True" : "False" }] },
  };
}
const denial = (...given: Parameters<typeof leaf>) => denialOf(leaf(...given), env, trusted);

describe("a leaf of another namespace", () => {
  it("goes on if the policies allow it", () => {
    const second = { issuerRef: { kind: "ClusterIssuer", name: "mtls-upstream-2" } };
    const uris = ["spiffe://new.internal/ns/shop/sa/shop"];
    const dnsNames = ["shop", "shop.shop", "shop.shop.svc", "egress.shop.shop.svc.cluster.local"];
    same([denial({}), denial({ ...second, uris, dnsNames })], [undefined, undefined]);
    same(denial({ usages: ["digital signature", "client auth"], dnsNames: [] }), undefined);
  });

  it("would be denied with another identity, or none, with both usages, or none, for too long, and under names that are not its own", () => {
    const is = (spec: Parameters<typeof leaf>[0], problem: string) =>
      same(denial(spec), `Certificate shop/shop: ${problem}`);
    const identity =
      "it must have the identity of a service account in its namespace. Set spec.uris to one such as spiffe://old.internal/ns/shop/sa/shop.";
    is({ uris: [] }, identity);
    is({ uris: ["spiffe://old.internal/ns/shop/sa/shop", "spiffe://old.internal/ns/mtls/sa/apisix"] }, identity);
    is({ uris: ["spiffe://new.internal/ns/shop/sa/shop"] }, identity);
    const usage = 'it must be for clients or for servers. Set spec.usages to one of "client auth" and "server auth".';
    for (const usages of [[], ["server auth", "client auth"]]) is({ usages }, usage);
    const lifetime = "it must name a lifetime of 2160h at most. Set spec.duration.";
    for (const duration of ["", "2161h0m0s"]) is({ duration }, lifetime);
    is({ dnsNames: ["shop.example", "other.example"] }, 'gateway.hosts does not list "shop/other.example".');
    is({ usages: ["client auth"] }, "clients have no spec.dnsNames.");
    for (const name of ["upstream.mtls.svc", "shop.shop.svc.example", "Shop", "shop.example"]) {
      const issuerRef = { kind: "ClusterIssuer", name: "mtls-upstream" };
      const such = "is not the name of a Service in its namespace, such as shop.shop.svc.";
      is({ issuerRef, dnsNames: ["shop", name] }, `${name} ${such}`);
    }
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
    beforeEach(async () => {
      api = await KubernetesApi.start(clusterUid);
      cluster = new LoopbackCluster({ kubeconfig: api.kubeconfig });
    });
    afterEach(() => api.stop());

    const path = "/apis/cert-manager.io/v1/certificates";
    /** After an `up` with these outputs, or before the first. */
    const after = async (outputs: object) => {
      const mocks = {
        newResource: ({ name }: pulumi.runtime.MockResourceArgs) => ({ id: name, state: {} }),
        call: () => ({ outputs }),
      };
      await pulumi.runtime.setMocks(mocks, "mtls-everywhere", "dev", false, "organization");
    };

    it("is looked for in every namespace when the limits come to a running platform", async () => {
      api.answers.set(path, { items: [leaf({}), leaf({ dnsNames: ["other.example"] })] });
      await after({ admin: {} });
      const refusal =
        /^This update limits .*\n {2}Certificate shop\/shop: gateway\.hosts does not list .*\nNothing was changed\./;
      await rejects(checkIssued(cluster, env, trusted), ({ message }: Error) => refusal.test(message));
      const unlimited = { ...env, certManager: { ...certManager, approver: { install: false } } };
      await checkIssued(cluster, unlimited, trusted);
    });

    it("only makes later updates warn: another namespace cannot hold them up", async () => {
      api.answers.set(path, { items: [leaf({ dnsNames: ["other.example"] })] });
      for (const outputs of [{}, { admin: {}, hosts: [] }]) {
        await after(outputs);
        await checkIssued(cluster, env, trusted);
      }
    });

    it("is not found where cert-manager is not there yet, nor where the caller may not look", async () => {
      await after({ admin: {} });
      await checkIssued(cluster, env, trusted);
      api.answers.set(path, 403);
      await checkIssued(cluster, env, trusted);
    });
  });
});
