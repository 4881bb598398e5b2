// Says while an update waits for pods that an image cannot be pulled: the update itself fails after the whole time-out, and says it then.

import type { V1Pod } from "@kubernetes/client-node";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import * as pulumi from "@pulumi/pulumi";

import { librarySelector } from "../components/workload.ts";

/** Why a container waits, as the kubelet says it, where more waiting is of little use. */
const reasons = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];

/** Milliseconds between two looks. */
const pause = 3_000;

/**
 * Looks at the pods that this library makes in a namespace until the program ends, and warns once of each image that cannot be pulled. Does
 * nothing in a preview.
 * @example
 * const { access, provider } = await connectCluster("cluster");
 * watchPulls(access, "shop");
 */
export function watchPulls(cluster: Cluster, namespace: string): void {
  if (pulumi.runtime.isDryRun()) return;
  const said = new Set<string>();
  const look = async () => {
    for (const { image, words } of (await cluster.pods({ namespace, selector: librarySelector })).flatMap(stuckPulls)) {
      if (said.has(image)) continue;
      said.add(image);
      await pulumi.log.warn(words);
    }
    next();
  };
  // A watch that fails is no reason to fail the update. It keeps no program running.
  const next = () => void setTimeout(() => void look().catch(() => {}), pause).unref();
  next();
}

/** The images that a pod waits for in vain. */
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
