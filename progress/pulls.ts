// Reports images that cannot be pulled while an update waits for pods: the update itself says so only at its time-out.

import type { V1Pod } from "@kubernetes/client-node";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import { librarySelector } from "@mtls-everywhere/vocabulary/labels";

import { warnOnce } from "./watch.ts";

/** The kubelet's reasons for a waiting container that make further waiting of little use. */
const reasons = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];

/**
 * Watches the pods that this library creates in a namespace until the program ends, and warns once for each image that
 * cannot be pulled. Does nothing in a preview.
 * @example
 * const { access, provider } = await connectCluster("cluster");
 * watchPulls(access, "shop");
 */
export function watchPulls(cluster: Cluster, namespace: string): void {
  warnOnce(async () => {
    const pods = await cluster.pods({ namespace, selector: librarySelector });
    return pods.flatMap(stuckPulls).map(({ image, words }) => ({ about: image, words }));
  });
}

/** The images that a pod is waiting for in vain. */
export function stuckPulls({ metadata, status }: V1Pod): { readonly image: string; readonly words: string }[] {
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  return containers.flatMap(({ image, state }) => {
    const { reason = "", message = "" } = state?.waiting ?? {};
    if (!reasons.includes(reason)) return [];
    const pod = `${metadata?.namespace}/${metadata?.name}`;
    const words =
      `Pod ${pod} cannot start: image ${image} cannot be pulled (${reason}${message === "" ? "" : `: ${message}`}). ` +
      `The update keeps waiting until it times out. Press Ctrl-C to end it, then correct the image's name, or let the nodes pull it.`;
    return [{ image, words }];
  });
}
