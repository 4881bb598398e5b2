// Lets no policy be written before approver-policy's webhook, which judges each, can be asked.

import { CustomObjectsApi } from "@kubernetes/client-node";
import { until } from "@mtls-everywhere/cluster-access";
import { type Cluster, statusOf } from "@mtls-everywhere/cluster-access/cluster";
import * as pulumi from "@pulumi/pulumi";

import { policies } from "./approver.ts";

/** How long policies wait for it, in milliseconds; then the first one's own error tells the rest. */
const patience = 60_000;

/**
 * What runs before a policy is created or changed: has it judged without writing it until there is an answer. The release is ready with
 * its pod, but the API server trusts the webhook only once cert-manager has told it the root, and its node knows the way there a moment
 * later. The chart has no hook that waits for that, as cert-manager's has, and the kubernetes provider does not try again.
 */
export function untilWebhookAnswers(cluster: Cluster, within = patience): pulumi.ResourceHook {
  const api = cluster.config.makeApiClient(CustomObjectsApi);
  // Of many policies the first asks for all.
  let answered: Promise<unknown> | undefined;
  return new pulumi.ResourceHook("policy-webhook", async ({ newInputs: policy = {} }) => {
    await (answered ??= until(() => isJudged(api, policy), { within }));
  });
}

/** Whether the API server had it judged, or refuses to: for want of rights, say, which more tries do not mend. */
async function isJudged(api: CustomObjectsApi, policy: object): Promise<boolean> {
  try {
    await api.createClusterCustomObject({ ...policies, body: policy, dryRun: "All" });
    return true;
  } catch (error) {
    const [status, kindIsUnknown] = [statusOf(error), 404];
    return status >= 400 && status < 500 && status !== kindIsUnknown;
  }
}
