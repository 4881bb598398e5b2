// The gateway's certificate from elsewhere: what an issuer that is not the platform's is asked for, and what a site makes of each source.

import { deepStrictEqual as same } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import type { PlaneAuthority } from "../../components/certificateAuthority.ts";
import { foreignSpec } from "../../components/foreignCertificate.ts";
import { ownCertificate, ownRoots } from "../../components/ownCertificate.ts";

describe("a certificate of another issuer", () => {
  it("asks for names alone: no identity, no subject, no client usage, no lifetime", () => {
    const issuer = { kind: "ClusterIssuer", name: "letsencrypt" };
    same(foreignSpec("shop", { dnsNames: ["shop.example.com"], algorithm: "RSA-2048" }, issuer), {
      secretName: "shop",
      privateKey: { algorithm: "RSA", size: 2048, rotationPolicy: "Always" },
      usages: ["digital signature", "server auth"],
      dnsNames: ["shop.example.com"],
      issuerRef: { name: "letsencrypt", kind: "ClusterIssuer", group: "cert-manager.io" },
    });
  });

  it("names any kind of any group, and by default an Issuer of cert-manager's", () => {
    const refOf = (issuer: Parameters<typeof foreignSpec>[2]) =>
      foreignSpec("shop", { dnsNames: [] }, issuer).issuerRef;
    same(refOf({ name: "ca" }), { name: "ca", kind: "Issuer", group: "cert-manager.io" });
    const cloud = { name: "pca", kind: "AWSPCAClusterIssuer", group: "awspca.cert-manager.io" };
    same(refOf(cloud), cloud);
  });
});

describe("the certificate of the platform's own host", () => {
  const trust = pulumi.output({ plane: "edge", namespace: "mtls", name: "edge-trust", key: "ca.crt" } as const);
  const edge = { plane: "edge", trust } as PlaneAuthority<"edge">;
  const own = (certificate?: object) =>
    ownCertificate({ namespace: "mtls", pki: { algorithm: "ECDSA-P384" }, gateway: { certificate } }, edge);

  it("is the edge plane's leaf, another issuer's under another name, or a Secret's, and its clients are the edge plane's", () => {
    const issuer = { name: "letsencrypt", kind: "ClusterIssuer", group: "cert-manager.io" };
    const clients = { trust };
    same(own(), { edge, namespace: "mtls", leaf: "gateway" });
    same(own({ issuerRef: issuer }), {
      ...{ issuer, namespace: "mtls", leaf: "gateway-external", algorithm: "ECDSA-P384", clients },
    });
    same(own({ secretName: "public" }), { certificate: { namespace: "mtls", name: "public" }, clients });
  });

  it("has roots in the outputs unless it is the edge plane's: those given, or public authorities'", () => {
    same([ownRoots(undefined), ownRoots({}), ownRoots({ roots: "PEM" })], [undefined, "public", "PEM"]);
  });
});
