// What cert-manager is asked for: leaves that prove one identity for exact usages, roots, and the chart's values.

import { deepStrictEqual as same } from "node:assert/strict";

import fc from "fast-check";

import { leafSpec } from "../../components/certificate.ts";
import { certManagerValues } from "../../components/certManager.ts";
import { rootSpec } from "../../components/clusterRoot.ts";
import { commonName, issuerPlace } from "../../components/issuerPlace.ts";
import { parseConfig } from "../../config.ts";
import { keyAlgorithms, privateKey } from "../../vocabulary/algorithms.ts";
import { spiffeId, subjectOf } from "../../vocabulary/identities.ts";
import { planes } from "../../vocabulary/planes.ts";

const identity = { trustDomain: "dev.example", namespace: "mtls", serviceAccount: "apisix" };
const authority = { algorithm: "ECDSA-P256", leafDuration: "24h" } as const;
const first = {
  ...{ name: "1", founder: true, algorithm: "ECDSA-P256", rootDuration: "87600h", trustDomain: "dev.example" },
} as const;
const later = { ...first, name: "2", founder: false };
const issuer = { plane: "edge", kind: "ClusterIssuer", name: "mtls-edge", group: "cert-manager.io" } as const;

describe("a leaf", () => {
  it("of a server has its names and identity", () => {
    const args = { authority, usages: ["server auth"], dnsNames: ["upstream", "api.example"] } as const;
    same(leafSpec("gateway", identity, args, issuer), {
      secretName: "gateway",
      duration: "24h",
      privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
      usages: ["digital signature", "server auth"],
      uris: ["spiffe://dev.example/ns/mtls/sa/apisix"],
      dnsNames: ["upstream", "api.example"],
      commonName: "apisix",
      subject: { organizations: ["dev.example"], organizationalUnits: ["mtls"] },
      issuerRef: { name: "mtls-edge", kind: "ClusterIssuer", group: "cert-manager.io" },
    });
  });

  it("of a client has an identity and no names", () => {
    const args = { authority: { ...authority, algorithm: "RSA-2048" }, usages: ["client auth"] } as const;
    same(leafSpec("client", identity, args, issuer), {
      secretName: "client",
      duration: "24h",
      privateKey: { algorithm: "RSA", size: 2048, rotationPolicy: "Always" },
      usages: ["digital signature", "client auth"],
      uris: ["spiffe://dev.example/ns/mtls/sa/apisix"],
      commonName: "apisix",
      subject: { organizations: ["dev.example"], organizationalUnits: ["mtls"] },
      issuerRef: { name: "mtls-edge", kind: "ClusterIssuer", group: "cert-manager.io" },
    });
  });

  it("that is presented to etcd has no subject: etcd would take a common name for a user", () => {
    const args = { authority, usages: ["client auth"], emptySubject: true } as const;
    const { kind, name, group } = issuer;
    same(leafSpec("etcd-client", identity, args, issuer), {
      secretName: "etcd-client",
      duration: "24h",
      privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
      usages: ["digital signature", "client auth"],
      uris: ["spiffe://dev.example/ns/mtls/sa/apisix"],
      issuerRef: { kind, name, group },
    });
  });

  it("has a key of the chosen kind", () => {
    same(keyAlgorithms.map(privateKey), [
      { algorithm: "ECDSA", size: 256 },
      { algorithm: "ECDSA", size: 384 },
      { algorithm: "RSA", size: 2048 },
      { algorithm: "RSA", size: 4096 },
    ]);
  });
});

describe("a root", () => {
  it("signs, keeps its key, and names its plane", () => {
    same(
      rootSpec(
        "etcd-root",
        "etcd",
        { ...first, algorithm: "ECDSA-P384" },
        { kind: "Issuer", name: "etcd-self-signed" },
      ),
      {
        isCA: true,
        secretName: "etcd-root",
        privateKey: { algorithm: "ECDSA", size: 384, rotationPolicy: "Never" },
        duration: "87600h",
        commonName: "etcd root",
        subject: { organizations: ["dev.example"] },
        usages: ["cert sign", "crl sign", "digital signature"],
        issuerRef: { kind: "Issuer", name: "etcd-self-signed", group: "cert-manager.io" },
      },
    );
  });

  it("is in its issuer's namespace: the platform's, or cert-manager's for planes that teams share", () => {
    const place = (plane: (typeof planes)[number]) =>
      issuerPlace({ plane, namespace: "mtls", clusterResourceNamespace: "cert-manager" }, first);
    const own = (plane: string) => ({
      ...{ kind: "Issuer", prefix: plane, metadata: { namespace: "mtls" }, keyNamespace: "mtls" },
    });
    const shared = (plane: string) => ({
      ...{ kind: "ClusterIssuer", prefix: `mtls-${plane}`, metadata: {}, keyNamespace: "cert-manager" },
    });
    same(planes.map(place), [own("etcd"), own("etcd-peer"), own("admin"), shared("edge"), shared("upstream")]);
  });

  it("of a later generation is there too, under names that include the generation's", () => {
    const { prefix, ...rest } = issuerPlace(
      { plane: "upstream", namespace: "mtls", clusterResourceNamespace: "cert-manager" },
      later,
    );
    same(
      { prefix, ...rest, root: commonName("upstream", "root", later) },
      {
        prefix: "mtls-upstream-2",
        ...{ kind: "ClusterIssuer", metadata: {}, keyNamespace: "cert-manager", root: "upstream root 2" },
      },
    );
  });

  it("shares no name with another generation's, nor with another plane's", () => {
    const generation = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?$/).filter(isGeneration);
    const names = (plane: (typeof planes)[number], name: string, founder: boolean) => {
      const { prefix, kind } = issuerPlace(
        { plane, namespace: "mtls", clusterResourceNamespace: "cert-manager" },
        { name, founder },
      );
      return ["", "-self-signed"].map((use) => `${kind} ${prefix}${use}`);
    };
    fc.assert(
      fc.property(generation, generation, fc.constantFrom(...planes), fc.constantFrom(...planes), (one, two, p, q) => {
        fc.pre(one !== two || p !== q);
        const others = [...names(q, two, false), ...names(q, "first", true)];
        return names(p, one, false).every((name) => !others.includes(name));
      }),
    );
  });

  it("of another environment on the same cluster has another name", () => {
    const name = fc.stringMatching(/^[a-z]([-a-z]{0,9}[a-z])?$/);
    fc.assert(
      fc.property(name, name, fc.constantFrom(...planes), (one, other, plane) => {
        fc.pre(one !== other);
        const of = (namespace: string) =>
          issuerPlace({ plane, namespace, clusterResourceNamespace: "cert-manager" }, first);
        const key = ({ kind, prefix, metadata }: ReturnType<typeof of>) => [kind, metadata.namespace, prefix].join(" ");
        return key(of(one)) !== key(of(other));
      }),
    );
  });
});

/** Whether the configuration accepts it as a generation's name. */
function isGeneration(name: string): boolean {
  try {
    parseConfig({ trustDomain: "dev.example", pki: { root: { kind: "cluster", active: name } } }, "dev");
    return true;
  } catch {
    return false;
  }
}

describe("an identity", () => {
  it("has one SPIFFE ID and one subject", () => {
    same(spiffeId(identity), "spiffe://dev.example/ns/mtls/sa/apisix");
    same(subjectOf(identity), "CN=apisix,OU=mtls,O=dev.example");
  });
});

describe("cert-manager's chart", () => {
  it("is installed with its CRDs, leaves no keys behind, and has a readiness gate", () => {
    same(certManagerValues({ namespace: "cert-manager", keepCrds: false }), {
      crds: { enabled: true, keep: false },
      enableCertificateOwnerRef: true,
      featureGates: "StableCertificateRequestName=false",
      global: { leaderElection: { namespace: "cert-manager" } },
      prometheus: { enabled: false },
      webhook: { readinessProbe: { initialDelaySeconds: 1, periodSeconds: 1 } },
    });
  });
});
