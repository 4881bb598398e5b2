// What a killed update leaves, planned from pending operations and read from Helm's records, and what is kept of a lost cluster.

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";

import { stackLabelValue } from "../../../components/stackLabel.ts";
import { forget, homeOf, kindsOf } from "../../../tools/recover/forget.ts";
import { releaseObjects } from "../../../tools/recover/leftovers.ts";
import { leftovers, type PendingOperation } from "../../../tools/recover/plan.ts";

const pending = (type: string, resourceType: string, inputs: Record<string, unknown>): PendingOperation => ({
  type,
  resource: { urn: `urn:pulumi:dev::p::${resourceType}::x`, type: resourceType, inputs },
});

describe("recovery from a killed update", () => {
  it("looks only for what was being created, and for releases that were being upgraded", () => {
    const metadata = { name: "etcd", namespace: "mtls" };
    assert.deepEqual(
      leftovers([
        pending("creating", "kubernetes:apps/v1:StatefulSet", { apiVersion: "apps/v1", kind: "StatefulSet", metadata }),
        pending("creating", "kubernetes:core/v1:Namespace", {
          apiVersion: "v1",
          kind: "Namespace",
          metadata: { name: "mtls" },
        }),
        pending("creating", "kubernetes:helm.sh/v3:Release", { name: "cert-manager", namespace: "cm", chart: "c" }),
        pending("updating", "kubernetes:helm.sh/v3:Release", { name: "tool", namespace: "tools", chart: "c" }),
        pending("deleting", "kubernetes:helm.sh/v3:Release", { name: "gone", namespace: "tools", chart: "c" }),
        pending("updating", "kubernetes:core/v1:Secret", { apiVersion: "v1", kind: "Secret", metadata }),
        pending("deleting", "kubernetes:core/v1:Secret", { apiVersion: "v1", kind: "Secret", metadata }),
        pending("creating", "random:index/randomPassword:RandomPassword", { length: 16 }),
        pending("creating", "pulumi-nodejs:dynamic/mtls:ApisixRoute", { objectId: "hello" }),
      ]),
      [
        {
          leftover: "object",
          apiVersion: "apps/v1",
          kind: "StatefulSet",
          name: "etcd",
          namespace: "mtls",
        },
        {
          leftover: "object",
          apiVersion: "v1",
          kind: "Namespace",
          name: "mtls",
        },
        {
          leftover: "release",
          begun: "install",
          name: "cert-manager",
          namespace: "cm",
        },
        {
          leftover: "release",
          begun: "upgrade",
          name: "tool",
          namespace: "tools",
        },
      ],
    );
  });

  it("reads a Helm record's objects, hooks included", () => {
    const release = {
      manifest: [
        "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, namespace: elsewhere}",
        "---\n# nothing but a comment",
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b}",
      ].join("\n"),
      hooks: [{ manifest: "apiVersion: batch/v1\nkind: Job\nmetadata: {name: c}" }],
    };
    const helms = gzipSync(JSON.stringify(release)).toString("base64");
    assert.deepEqual(releaseObjects(Buffer.from(helms).toString("base64"), "home"), [
      { apiVersion: "v1", kind: "ServiceAccount", name: "a", namespace: "elsewhere" },
      { apiVersion: "apps/v1", kind: "Deployment", name: "b", namespace: "home" },
      { apiVersion: "batch/v1", kind: "Job", name: "c", namespace: "home" },
    ]);
  });

  it("makes a label value from any stack name", () => {
    assert.equal(stackLabelValue("acme/pr 12"), "acme-pr-12");
    assert.equal(stackLabelValue("x".repeat(80)).length, 63);
  });
});

describe("a state whose cluster was lost", () => {
  const uid = "00000000-0000-4000-8000-00000000000a";
  const custom = (type: string, more: object = {}) => ({ urn: `urn:${type}`, type, custom: true, ...more });
  const stack = { urn: "urn:stack", type: "pulumi:pulumi:Stack" };
  const authority = { urn: "urn:pki-edge", type: "mtls:platform:CertificateAuthority" };
  const record = custom("pulumi:index:Stash", { outputs: { input: uid, output: uid } });
  const members = custom("pulumi:index:Stash", { urn: "urn:members", outputs: { input: 3, output: 3 } });
  const made = custom("pulumi:index:Stash", { urn: "urn:pulumi:dev::mtls::pulumi:index:Stash::pki-generation-2026" });
  const provider = custom("pulumi:providers:kubernetes", { inputs: { clusterIdentifier: uid } });
  const namespace = custom("kubernetes:core/v1:Namespace");
  const certificate = custom("kubernetes:cert-manager.io/v1:Certificate");
  const release = custom("kubernetes:helm.sh/v3:Release");
  const roots = custom("pulumi-nodejs:dynamic/mtls:RootCertificates");
  const tls = custom("pulumi:providers:tls");
  const key = custom("tls:index/privateKey:PrivateKey", {
    ...{ parent: authority.urn, protect: true },
    dependencies: [namespace.urn, tls.urn],
    propertyDependencies: { algorithm: [certificate.urn], rsaBits: [] },
  });
  const password = custom("random:index/randomPassword:RandomPassword");
  const resources = [
    ...[
      stack,
      record,
      members,
      made,
      provider,
      namespace,
      { ...authority, dependencies: [namespace.urn, release.urn] },
    ],
    ...[release, certificate, roots, tls, key, password],
  ];
  const state = {
    version: 3,
    deployment: {
      secrets_providers: { type: "passphrase" },
      resources,
      pending_operations: [pending("creating", "kubernetes:core/v1:Secret", {})],
    },
  };

  it("names that cluster", () => {
    assert.deepEqual(
      [homeOf(state), homeOf({ deployment: { resources: [stack, password] } }), homeOf({})],
      [uid, undefined, undefined],
    );
  });

  it("forgets what lived there and all references to it, and keeps roots, passwords and their parents", () => {
    const planned = forget(state);
    assert.deepEqual(planned.state, {
      version: 3,
      deployment: {
        secrets_providers: { type: "passphrase" },
        resources: [
          ...[stack, made, { ...authority, dependencies: [] }, tls],
          { ...key, dependencies: [tls.urn], propertyDependencies: { algorithm: [], rsaBits: [] } },
          password,
        ],
        pending_operations: [],
      },
    });
    assert.deepEqual(
      [kindsOf(planned.forgotten), kindsOf(planned.kept), kindsOf([])],
      ["1 Certificate, 1 Namespace, 1 Release, 1 RootCertificates", "1 PrivateKey, 1 RandomPassword", "nothing"],
    );
  });
});
