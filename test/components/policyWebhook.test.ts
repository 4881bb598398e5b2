// What a policy waits for: an answer of the webhook that judges it, and nothing else.

import { deepStrictEqual as same, ok } from "node:assert/strict";

import { untilWebhookAnswers } from "../../components/policyWebhook.ts";
import { KubernetesApi, LoopbackCluster } from "../support/kubernetesApi.ts";
import { clusterUid } from "./mockedPlatform.ts";

const policy = { kind: "CertificateRequestPolicy", metadata: { name: "mtls.gateway" }, spec: { allowed: {} } };
const created = { urn: "", id: "", name: "", type: "", newInputs: policy };

describe("before a policy is written", () => {
  let api: KubernetesApi;
  let asked: [request: string, body: object][];
  beforeEach(async () => {
    api = await KubernetesApi.start(clusterUid);
    asked = [];
  });
  afterEach(() => api.stop());

  /** The hook, where the API server answers so, one after another and then with the last. */
  function hook(answers: readonly (number | object)[], within?: number) {
    api.onWrite = (request, body) => {
      asked.push([request, body]);
      return answers[Math.min(asked.length, answers.length) - 1]!;
    };
    return untilWebhookAnswers(new LoopbackCluster({ kubeconfig: api.kubeconfig }), within);
  }

  const request = "POST /apis/policy.cert-manager.io/v1alpha1/certificaterequestpolicies";

  it("it is judged until there is an answer, and the others need not ask", async () => {
    const { callback } = hook([404, 500, 500, policy]);
    await Promise.all([callback(created), callback(created)]);
    await callback(created);
    same(asked, Array(4).fill([request, policy]));
  });

  for (const refusal of [400, 403, 409, 422]) {
    it(`a refusal with ${refusal} ends the wait: the update says why`, async () => {
      await hook([refusal]).callback(created);
      same(asked, [[request, policy]]);
    });
  }

  it("a webhook that never answers ends it too, for the update to say so", async () => {
    await hook([500], 300).callback(created);
    ok(asked.length > 1);
  });
});
