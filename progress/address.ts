// Waits for the gateway's address from outside, which a cluster without a load balancer never gives: beside all else, and in words.

import { CoreV1Api } from "@kubernetes/client-node";
import { until } from "@mtls-everywhere/cluster-access";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import type { GatewayEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

export interface AddressArgs {
  /** The gateway; its Service is of type LoadBalancer. */
  readonly gateway: pulumi.Output<Pick<GatewayEndpoint, "service">>;
  readonly cluster: Cluster;
  /** How long to wait once the gateway's pods are ready, such as `5m`. */
  readonly within: string;
}

/** Seconds after which is said what is waited for. */
const silence = 10;

/**
 * Ends the update with an error when there is no address in time. Kubernetes' provider could wait for it as well, but says nothing meanwhile, and the
 * Service would fail. Does nothing in a preview.
 */
export function awaitAddress({ gateway, cluster, within }: AddressArgs): void {
  if (pulumi.runtime.isDryRun()) return;
  gateway.apply(({ service }) => {
    // Logged, since an output's error would be everyone's that depends on it, and nobody's would be told with its stack.
    void addressWithin(service, cluster, within).catch((error: Error) => pulumi.log.error(error.message));
  });
}

/**
 * Waits until the Service has an address.
 * @throws RunError when it has none in time.
 */
export async function addressWithin(
  { namespace, name }: Pick<GatewayEndpoint["service"], "namespace" | "name">,
  cluster: Cluster,
  within: string,
): Promise<void> {
  const api = cluster.config.makeApiClient(CoreV1Api);
  const hasAddress = async () => {
    // Who may not read it, or gets no answer, waits like one who sees no address.
    const live = await api.readNamespacedService({ namespace, name }).catch(() => undefined);
    return (live?.status?.loadBalancer?.ingress ?? []).length > 0;
  };
  const [, amount = "0", unit] = /^(\d+)([sm])$/.exec(within) ?? [];
  const all = Number(amount) * (unit === "m" ? 60_000 : 1_000);
  const quiet = Math.min(silence * 1_000, all);
  if (await until(hasAddress, { within: quiet, pause: 1_000 })) return;
  if (all > quiet) {
    await pulumi.log.warn(
      `Service ${namespace}/${name} has no external address yet: waiting for up to ${within}. ` +
        `In a cluster where nothing assigns addresses (no cloud, no MetalLB), set gateway.serviceType: ClusterIP.`,
    );
    if (await until(hasAddress, { within: all - quiet, pause: 1_000 })) return;
  }
  throw new pulumi.RunError(
    `Service ${namespace}/${name} got no external address within ${within}. The platform is up, and can be reached from inside the cluster.\n` +
      `If nothing in this cluster assigns addresses, set gateway.serviceType: ClusterIP. Otherwise find out what is wrong (kubectl -n ${namespace} describe service ${name}), then run pulumi up again.`,
  );
}
