// What a cluster already has, from an API server on loopback: what is the stack's own, and what may not be read. The
// refusals are in the table of wrong inputs.

import { deepStrictEqual as same } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { Cluster } from "../../cluster-access/cluster.ts";
import { isOlder } from "../../components/certManager.ts";
import { parseConfig } from "../../config.ts";
import { refuseClashes } from "../../neighbours/check.ts";
import type { Wanted } from "../../neighbours/live.ts";
import { objectNames } from "../../neighbours/names.ts";
import { NeighbourReader } from "../../neighbours/reader.ts";
import { admissionKinds, KubernetesApi } from "../support/kubernetesApi.ts";
import {
  approverKinds,
  certManagerIn,
  certManagerKinds,
  heldBy,
  labelled,
  type There,
} from "../support/neighbourRows.ts";

describe("what a cluster already has (case 9)", () => {
  let api: KubernetesApi;
  before(async () => {
    api = await KubernetesApi.start("here");
  });
  after(() => api.stop());
  beforeEach(() => {
    api.answers.clear();
    api.answers.set("namespaces/kube-system", { metadata: { uid: "here" } });
    api.answers.set(...admissionKinds);
  });

  const cluster = () => new Cluster({ kubeconfig: api.kubeconfig });
  const hold = (there: There) => Object.entries(there).forEach(([path, answer]) => api.answers.set(path, answer));

  /** The refusal's message, or nothing. */
  const check = async (values: object = {}, outputs: object = {}) => {
    await pulumi.runtime.setMocks(
      { newResource: () => ({ id: "", state: {} }), call: () => ({ outputs }) },
      "mtls-everywhere",
      "dev",
      false,
      "organization",
    );
    const env = parseConfig({ trustDomain: "dev.internal", ...values }, "dev");
    return refuseClashes(cluster(), env).then(
      () => "",
      (error: Error) => error.message,
    );
  };

  const own: There = {
    ...certManagerIn("cert-manager"),
    "namespaces/cert-manager": labelled("dev"),
    "namespaces/mtls": labelled("dev"),
    "/apis/apps/v1/namespaces/mtls/deployments/apisix": labelled("dev"),
    "/apis/apps/v1/namespaces/mtls/statefulsets/etcd": labelled("dev"),
    "/apis/cert-manager.io/v1/clusterissuers/mtls-edge": labelled("dev"),
    "namespaces/mtls/persistentvolumeclaims": {
      items: [{ metadata: { name: "data-etcd-0", labels: { "app.kubernetes.io/name": "etcd" } } }],
    },
  };

  it("does not conflict if it is the stack's own, even from a first update that failed", async () => {
    hold(own);
    same(await check(), "");
  });

  it("does not conflict if a destroyed stack of the same names kept the CRDs on purpose", async () => {
    hold({
      [certManagerKinds]: { metadata: { annotations: heldBy("cert-manager", "cert-manager") } },
      [approverKinds]: { metadata: { annotations: heldBy("cert-manager", "cert-manager-approver-policy") } },
    });
    same(await check(), "");
  });

  it("does not concern a stack that limits no requests", async () => {
    hold({ [approverKinds]: { metadata: {} }, [admissionKinds[0]]: { resources: [] } });
    same(await check({ certManager: { approver: { install: false } } }), "");
  });

  it("is not reported if the stack lives in another cluster", async () => {
    hold({ "namespaces/mtls": labelled("prod") });
    same(await check({}, { admin: { cluster: "elsewhere" } }), "");
  });

  it("does not stop a renamed stack, nor make it give up its cert-manager", async () => {
    const renamed = Object.entries(own).map(([path, answer]) => [path, path === "pods" ? answer : labelled("old")]);
    hold(Object.fromEntries(renamed) as There);
    same(await check({}, { admin: { cluster: "here" }, namespace: "mtls" }), "");
  });

  it("does not stop a stack that released its namespace from creating it once it is gone", async () => {
    hold({ ...own, "namespaces/mtls": 404 });
    same(await check({}, { admin: { cluster: "here" }, namespace: "mtls", ownsNamespace: false }), "");
  });

  it("does not stop a running stack with an old cert-manager, without etcd, in a recreated namespace", async () => {
    const claims = "namespaces/mtls/persistentvolumeclaims";
    hold({ ...certManagerIn("infra", "v1.13.6"), "namespaces/mtls": { metadata: {} }, [claims]: own[claims]! });
    const values = { certManager: { install: false, namespace: "infra" } };
    same(await check(values, { admin: { cluster: "here" }, namespace: "mtls" }), "");
  });

  it("is skipped if it may not be read, and named", async () => {
    const objects = objectNames("mtls", { kind: "cluster", trusted: ["1"] }, "1");
    const paths = [
      ...["namespaces/mtls", "namespaces/cert-manager", "pods", "namespaces/mtls/persistentvolumeclaims"],
      ...[certManagerKinds, approverKinds],
      "/apis/cert-manager.io/v1/clusterissuers/mtls-edge",
    ];
    for (const path of paths) api.answers.set(path, 403);
    same(await check(), "");
    const wanted: Wanted = {
      ...{ stack: "dev", running: false, namespace: "mtls", createNamespace: true, objects },
      ...{ released: false, monitoring: false },
      certManager: { install: true, namespace: "cert-manager", approver: { install: true } },
    };
    const reader = new NeighbourReader(cluster().config);
    same(await reader.read(wanted), {
      ...{ home: "unknown", certManagerHome: "unknown", controllers: [], kinds: "unknown" },
      ...{ approverKinds: "unknown", admissionKinds: {}, monitoringKinds: "unknown", objects: [], claims: [] },
    });
    same(reader.unread.sort(), [
      "ClusterIssuer mtls-edge",
      "CustomResourceDefinition certificaterequestpolicies.policy.cert-manager.io",
      "CustomResourceDefinition certificates.cert-manager.io",
      "Namespace cert-manager",
      "Namespace mtls",
      "PersistentVolumeClaims in namespace mtls",
      "Pods of all namespaces",
    ]);
  });

  it("is looked up under the names of the trusted generations' issuers", () => {
    const issuers = (...args: Parameters<typeof objectNames>) =>
      objectNames(...args)
        .filter(({ kind }) => kind === "ClusterIssuer")
        .map(({ name }) => name);
    same(issuers("mtls", { kind: "stateHeld", trusted: ["2026", "2027"] }, "2026"), [
      ...["mtls-edge", "mtls-edge-2027", "mtls-upstream", "mtls-upstream-2027"],
    ]);
    same(issuers("mtls", { kind: "cluster", trusted: ["1"] }, "1"), [
      ...["mtls-edge", "mtls-edge-self-signed", "mtls-upstream", "mtls-upstream-self-signed"],
    ]);
  });

  it("is an older cert-manager by its version numbers", () => {
    same(
      (["v1.9.0", "v1.15.0", "v1.15.1", "v0.99.0", "v2.0.0"] as const).map((version) => isOlder(version, "v1.15.0")),
      [true, false, false, true, false],
    );
  });
});
