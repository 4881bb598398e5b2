// What a killed update leaves: planned from pending operations, read from Helm's records.

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";

import { stackLabelValue } from "../../components/stackLabel.ts";
import { releaseObjects } from "../../recover/leftovers.ts";
import { leftovers, type PendingOperation } from "../../recover/plan.ts";

const pending = (type: string, resourceType: string, inputs: Record<string, unknown>): PendingOperation => ({
  type,
  resource: { urn: `urn:pulumi:dev::p::${resourceType}::x`, type: resourceType, inputs },
});

describe("recovery from a killed update", () => {
  it("looks for objects and releases that were being created, and for nothing else", () => {
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
        pending("updating", "kubernetes:core/v1:Secret", { apiVersion: "v1", kind: "Secret", metadata }),
        pending("deleting", "kubernetes:core/v1:Secret", { apiVersion: "v1", kind: "Secret", metadata }),
        pending("creating", "random:index/randomPassword:RandomPassword", { length: 16 }),
        pending("creating", "pulumi-nodejs:dynamic/mtls:ApisixRoute", { objectId: "hello" }),
      ]),
      [
        {
          leftover: "object",
          urn: "urn:pulumi:dev::p::kubernetes:apps/v1:StatefulSet::x",
          apiVersion: "apps/v1",
          kind: "StatefulSet",
          name: "etcd",
          namespace: "mtls",
        },
        {
          leftover: "object",
          urn: "urn:pulumi:dev::p::kubernetes:core/v1:Namespace::x",
          apiVersion: "v1",
          kind: "Namespace",
          name: "mtls",
        },
        {
          leftover: "release",
          urn: "urn:pulumi:dev::p::kubernetes:helm.sh/v3:Release::x",
          name: "cert-manager",
          namespace: "cm",
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

  it("makes a label's value of any stack name", () => {
    assert.equal(stackLabelValue("acme/pr 12"), "acme-pr-12");
    assert.equal(stackLabelValue("x".repeat(80)).length, 63);
  });
});
