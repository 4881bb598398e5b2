// A root's key in a Secret: deleted with its generation, unless the Secret is somebody else's or its Certificate still exists.

import { deepStrictEqual as same, rejects } from "node:assert/strict";

import { create, diff, read, remove } from "../../dynamic-resources/resources.ts";
import { clusterUid } from "../support/apisix.ts";
import { KubernetesApi, LoopbackCluster } from "../support/kubernetesApi.ts";

describe("the key of a root", () => {
  let api: KubernetesApi;
  let cluster: LoopbackCluster;
  let deleted: unknown[];
  const secret = { namespace: "mtls", name: "etcd-root" };
  const inputs = { cluster: clusterUid, secret, certificate: "etcd-root" };
  const path = "namespaces/mtls/secrets/etcd-root";
  const certificate = "/apis/cert-manager.io/v1/namespaces/mtls/certificates/etcd-root";

  before(async () => {
    api = await KubernetesApi.start(clusterUid);
    cluster = new LoopbackCluster({ kubeconfig: api.kubeconfig });
  });
  after(() => api.stop());
  beforeEach(() => {
    deleted = [];
    api.onWrite = (request, body) => deleted.push({ request, ...body }) && {};
    api.answers.delete(certificate);
    api.answers.set(path, issuedFor("etcd-root"));
  });
  const issuedFor = (name: string) => ({
    metadata: {
      ...{ uid: "u", resourceVersion: "7" },
      annotations: { "cert-manager.io/certificate-name": name },
    },
  });

  it("is never read, and never changes", async () => {
    api.answers.set(path, 403);
    const { id, outs } = await create("rootKey", inputs, cluster);
    same({ id, outs }, { id: "mtls/etcd-root", outs: inputs });
    same(await read("rootKey", id, outs, cluster), { id, props: inputs });
    same(await diff("rootKey", id, outs, inputs, cluster), { changes: false, deleteBeforeReplace: true });
    const moved = { ...inputs, secret: { ...secret, namespace: "other" } };
    same((await diff("rootKey", id, outs, moved, cluster)).replaces, ["secret"]);
  });

  it("is deleted once its Certificate is gone, if unchanged since it was seen", async () => {
    await remove("rootKey", "mtls/etcd-root", inputs, cluster);
    same(deleted, [{ request: `DELETE ${path}`, preconditions: { uid: "u", resourceVersion: "7" } }]);
  });

  it("is left alone in a Secret issued for another Certificate, or not issued at all", async () => {
    api.answers.set(path, issuedFor("other"));
    await remove("rootKey", "mtls/etcd-root", inputs, cluster);
    api.answers.set(path, { metadata: {} });
    await remove("rootKey", "mtls/etcd-root", inputs, cluster);
    same(deleted, []);
  });

  it("need not be deleted if cert-manager did so", async () => {
    api.answers.set(path, 404);
    await remove("rootKey", "mtls/etcd-root", inputs, cluster);
    same(deleted, []);
  });

  it("stays while its Certificate does, as cert-manager would make another key", async () => {
    api.answers.set(certificate, {});
    await rejects(remove("rootKey", "mtls/etcd-root", inputs, cluster), {
      message:
        "Secret mtls/etcd-root holds the key of Certificate mtls/etcd-root, which still exists: cert-manager would create a new key at once. Delete the Certificate first.",
    });
    same(deleted, []);
  });

  it("belongs to one cluster", async () => {
    await rejects(remove("rootKey", "id", { ...inputs, cluster: "another" }, cluster), /lives in cluster another/);
  });
});
