// Waiting for a platform that is rolling out: what Kubernetes says about it, what is reported, and when the wait is over.

import { deepStrictEqual as same, rejects } from "node:assert/strict";

import { Cluster } from "../../../cluster-access/cluster.ts";
import { rolling, type Workloads } from "../../../cluster-access/workloads.ts";
import { settled } from "../../../tools/verify/settle.ts";
import { KubernetesApi } from "../../support/kubernetesApi.ts";

const signal = new AbortController().signal;
const workload = { observed: true, wanted: 2, present: 2, updated: 2, ready: 2 };
const atRest: Workloads = {
  workloads: [
    { name: "deployment/apisix", ...workload },
    { name: "statefulset/etcd", ...workload },
  ],
  leaving: [],
};

describe("a platform that is rolling out", () => {
  it("is recognised by generation, and by number, age and readiness of its pods", () => {
    const one = (change: Partial<typeof workload>, leaving: readonly string[] = []) =>
      rolling({ workloads: [{ name: "deployment/apisix", ...workload, ...change }], leaving });
    same(
      [
        rolling(atRest),
        one({ observed: false }),
        one({ updated: 1, present: 3 }),
        one({ present: 3, ready: 3 }),
        one({ ready: 1 }),
        one({}, ["apisix-old"]),
        one({ wanted: 0, present: 0, updated: 0, ready: 0 }),
      ],
      [
        [],
        ["deployment/apisix is about to roll"],
        ["deployment/apisix has 1 of 2 new pods, 2 of 3 ready"],
        ["deployment/apisix has 2 of 2 new pods, 3 of 3 ready"],
        ["deployment/apisix has 2 of 2 new pods, 1 of 2 ready"],
        ["pod/apisix-old is terminating"],
        [],
      ],
    );
  });

  it("is awaited until it has finished, reporting what is still missing (case 23)", async () => {
    const looks: Workloads[] = [{ ...atRest, leaving: ["apisix-old"] }, { ...atRest, leaving: ["apisix-old"] }, atRest];
    const told: string[] = [];
    const access = { workloads: async () => looks.shift()! };
    const onWaiting = (reasons: readonly string[]) => told.push(...reasons);
    same(await settled(access, { namespace: "mtls", signal, onWaiting }), []);
    same(told, ["pod/apisix-old is terminating", "pod/apisix-old is terminating"]);
  });

  it("is not awaited forever, nor longer than the run lasts", async () => {
    const access = { workloads: async () => ({ ...atRest, leaving: ["apisix-old"] }) };
    same(await settled(access, { namespace: "mtls", signal, within: 0 }), ["pod/apisix-old is terminating"]);
    const interrupted = AbortSignal.abort(new Error("interrupted"));
    await rejects(settled(access, { namespace: "mtls", signal: interrupted }), { message: "interrupted" });
  });

  describe("in a cluster", () => {
    let api: KubernetesApi;
    before(async () => (api = await KubernetesApi.start("uid")));
    after(() => api.stop());
    const labels = { app: "apisix" };
    const workloads = () => new Cluster({ kubeconfig: api.kubeconfig }).workloads("mtls", "app=apisix");

    it("is read from Deployments, StatefulSets and pods", async () => {
      const deployment = {
        metadata: { name: "apisix", generation: 2, labels },
        spec: { replicas: 2 },
        status: { observedGeneration: 1, replicas: 3, updatedReplicas: 1, readyReplicas: 2 },
      };
      api.answers.set("/apis/apps/v1/namespaces/mtls/deployments", { items: [deployment] });
      // The API server omits zeros.
      const set = {
        metadata: { name: "etcd", generation: 1, labels },
        spec: { replicas: 1 },
        status: { observedGeneration: 1 },
      };
      api.answers.set("/apis/apps/v1/namespaces/mtls/statefulsets", { items: [set] });
      const pod = (name: string, more: object) => ({ metadata: { name, labels, ...more } });
      const leaving = pod("apisix-old", { deletionTimestamp: "2026-01-01T00:00:00Z" });
      api.answers.set("namespaces/mtls/pods", { items: [pod("apisix-new", {}), leaving] });
      same(await workloads(), {
        workloads: [
          { name: "deployment/apisix", observed: false, wanted: 2, present: 3, updated: 1, ready: 2 },
          { name: "statefulset/etcd", observed: true, wanted: 1, present: 0, updated: 0, ready: 0 },
        ],
        leaving: ["apisix-old"],
      });
    });

    it("cannot be read without the right to list them", async () => {
      api.answers.set("/apis/apps/v1/namespaces/mtls/deployments", 403);
      await rejects(workloads(), {
        message: `The kubeconfig's user may not read Deployments mtls/app=apisix: grant it "list" on that object.`,
      });
    });
  });
});
