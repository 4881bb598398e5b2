// What the policy pack refuses, and what it lets through.

import { deepEqual, equal, throws } from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";

import * as sdk from "@pulumi/policy";

import { nginxDeployment } from "../../components/nginxUpstream.ts";
import { policies } from "../../policy/policies.ts";

/** The SDK exports them without their types. */
const { unknownCheckingProxy, UnknownValueError } = sdk as unknown as {
  readonly unknownCheckingProxy: (props: object) => unknown;
  readonly UnknownValueError: new () => Error;
};

/** What stands for an unknown property in a preview. */
const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** What the policies say about a resource. */
function violations(type: string, props: Record<string, unknown>, parents = ""): string[] {
  const said: string[] = [];
  for (const { name, validateResource } of policies) {
    const urn = `urn:pulumi:dev::platform::${parents}${type}::it`;
    const args = { type, props: unknownCheckingProxy(props), urn, name: "it" } as sdk.ResourceValidationArgs;
    for (const validate of [validateResource].flat()) {
      void validate?.call({ getConfig: () => ({}) } as never, args, (message) => said.push(`${name}: ${message}`));
    }
  }
  return said;
}

const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" });
const base64 = Buffer.from(key).toString("base64");

describe("the policy pack", () => {
  describe("no-private-keys", () => {
    const advice = "Let cert-manager issue the certificate, and name its Secret instead.";

    it("refuses a key anywhere in the inputs, even encoded", () => {
      deepEqual(violations("kubernetes:core/v1:ConfigMap", { data: { "app.conf": `x\n${String(key)}` } }), [
        `no-private-keys: it contains a private key in data.app.conf. ${advice}`,
      ]);
      deepEqual(violations("kubernetes:core/v1:Secret", { data: { "tls.key": base64 } }), [
        `no-private-keys: it contains a private key in data.tls.key. ${advice}`,
      ]);
    });

    it("finds it among values that a preview does not know", () => {
      const props = { metadata: unknown, list: [unknown, { key }] };
      equal(violations("kubernetes:core/v1:ConfigMap", props).length, 1);
    });

    it("lets a certificate authority keep its own, in the kinds that it needs", () => {
      const authority = "mtls:platform:CertificateAuthority$";
      deepEqual(violations("tls:index/selfSignedCert:SelfSignedCert", { privateKeyPem: key }, authority), []);
      deepEqual(violations("kubernetes:core/v1:Secret", { stringData: { "tls.key": key } }, authority), []);
      equal(violations("kubernetes:core/v1:ConfigMap", { data: { key } }, authority).length, 1);
      equal(violations("tls:index/selfSignedCert:SelfSignedCert", { privateKeyPem: key }).length, 1);
      equal(violations("kubernetes:core/v1:Secret", { data: { key } }, "mtls:platform:Certificate$").length, 1);
    });

    it("lets public certificates and passwords through", () => {
      const props = { stringData: { password: "correct horse", "ca.crt": "-----BEGIN CERTIFICATE-----\nMIIB" } };
      deepEqual(violations("kubernetes:core/v1:Secret", props), []);
    });
  });

  describe("hardened-pods", () => {
    const deployment = nginxDeployment(
      "hello",
      { namespace: "mtls", image: "nginx:1" },
      {
        leaf: { plane: "upstream", namespace: "mtls", name: "leaf" },
        trust: { plane: "upstream", namespace: "mtls", name: "trust", key: "ca.crt" },
        annotations: { "mtls-everywhere/settings-digest": "of the settings" },
      },
    );
    const pod = deployment.spec.template.spec;
    const container = pod.containers[0]!;

    it("lets the platform's own pods through", () => {
      deepEqual(violations("kubernetes:apps/v1:Deployment", deployment), []);
    });

    it("refuses pods that are not restricted, or break the platform's rules", () => {
      const { readinessProbe: _probe, ...unprobed } = container;
      const open = { ...unprobed, securityContext: { ...container.securityContext, privileged: true } };
      const spec = { template: { spec: { ...pod, hostNetwork: true, containers: [open] } } };
      const refused = [
        "hardened-pods: it creates a pod that is not hardened: " +
          "shares a host namespace; nginx is privileged; nginx has no readiness probe.",
      ];
      for (const kind of ["apps/v1:Deployment", "apps/v1:StatefulSet", "apps/v1:DaemonSet", "batch/v1:Job"]) {
        deepEqual(violations(`kubernetes:${kind}`, { spec }), refused);
      }
      deepEqual(violations("kubernetes:batch/v1:CronJob", { spec: { jobTemplate: { spec } } }), refused);
      deepEqual(violations("kubernetes:core/v1:Pod", { spec: spec.template.spec }), refused);
    });

    it("leaves a pod that is not yet known to the update", () => {
      throws(() => violations("kubernetes:apps/v1:Deployment", { spec: unknown }), UnknownValueError);
    });
  });

  describe("routes-have-hosts", () => {
    const route = "pulumi-nodejs:dynamic/mtls:ApisixRoute";
    it("refuses a route without hosts, missing or empty", () => {
      const said = ["routes-have-hosts: it names no hosts. Set hosts to those that the gateway has a certificate for."];
      deepEqual(violations(route, { uris: ["/*"] }), said);
      deepEqual(violations(route, { uris: ["/*"], hosts: [] }), said);
      deepEqual(violations(route, { uris: ["/*"], hosts: ["api"] }), []);
    });
  });

  describe("gateway-asks-clients", () => {
    const ssl = "pulumi-nodejs:dynamic/mtls:ApisixSsl";
    it("refuses a server certificate that says nothing about clients", () => {
      const said = [
        'gateway-asks-clients: it asks clients for no certificate. Set clients to { trust }, or to "anyone" if that is intended.',
      ];
      deepEqual(violations(ssl, { use: "server", snis: ["api"] }), said);
      deepEqual(violations(ssl, { snis: ["api"] }), said);
    });
    it("lets the rest through", () => {
      deepEqual(violations(ssl, { use: "server", clients: { trust: { name: "edge-trust" } } }), []);
      deepEqual(violations(ssl, { use: "server", clients: "anyone" }), []);
      deepEqual(violations(ssl, { use: "client" }), []);
    });
  });

  describe("no-wildcard-names", () => {
    const certificate = "kubernetes:cert-manager.io/v1:Certificate";
    it("refuses a wildcard in each part of a name", () => {
      deepEqual(violations(certificate, { spec: { dnsNames: ["api", "*.example.internal"], commonName: "*" } }), [
        'no-wildcard-names: it asks for a certificate for "*". Name each host instead.',
        'no-wildcard-names: it asks for a certificate for "*.example.internal". Name each host instead.',
      ]);
      deepEqual(violations(certificate, { spec: { dnsNames: ["api"], commonName: "apisix" } }), []);
      deepEqual(violations(certificate, { spec: { uris: ["spiffe://x/ns/y/sa/z"] } }), []);
    });
  });
});
