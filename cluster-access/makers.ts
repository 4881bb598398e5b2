// Whether what makes some pods is still there: without it they are gone for good, not just for now.

import { AppsV1Api, CoreV1Api, type KubeConfig } from "@kubernetes/client-node";

import type { Makers } from "./access.ts";
import { found } from "./apiErrors.ts";

/** What of it is not there, in a sentence; nothing where all is. */
export async function missingMaker(
  config: KubeConfig,
  { namespace, selector, services = [] }: Makers,
): Promise<string | undefined> {
  const selected = { namespace, labelSelector: selector };
  const apps = config.makeApiClient(AppsV1Api);
  const [deployments, sets] = await Promise.all([
    apps.listNamespacedDeployment(selected),
    apps.listNamespacedStatefulSet(selected),
  ]);
  if (deployments.items.length + sets.items.length === 0) {
    return `There is no Deployment or StatefulSet ${selector} in namespace ${namespace}.`;
  }
  const core = config.makeApiClient(CoreV1Api);
  for (const name of services) {
    const service = await found(() => core.readNamespacedService({ namespace, name }));
    if (service === undefined) return `Service ${namespace}/${name} does not exist.`;
  }
  return undefined;
}
