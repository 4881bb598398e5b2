// Waits for the gateway's external address, and says so: a cluster without a load balancer never assigns one.

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

/** Seconds before it says what it is waiting for. */
const silence = 10;

/**
 * Fails the update if there is no address in time. The Kubernetes provider could wait for it too, but silently, and the
 * Service would fail. Does nothing in a preview.
 */
export function awaitAddress({ gateway, cluster, within }: AddressArgs): void {
  if (pulumi.runtime.isDryRun()) return;
  gateway.apply(({ service }) => {
    // Not returned: a failed output would fail all that depends on it. A rejection that nobody handles fails the program,
    // while an error that is merely logged would leave its exit code 0.
    void addressWithin(service, cluster, within).catch((error: Error) => {
      // Of a program that has run to its end the SDK prints the stack, even for a RunError.
      error.stack = error.message;
      throw error;
    });
  });
}

/**
 * Waits until the Service has an address.
 * @throws RunError if it has none in time.
 */
export async function addressWithin(
  { namespace, name }: Pick<GatewayEndpoint["service"], "namespace" | "name">,
  cluster: Cluster,
  within: string,
): Promise<void> {
  const api = cluster.config.makeApiClient(CoreV1Api);
  const hasAddress = async () => {
    // A caller who may not read it, or gets no answer, waits as if there were no address.
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
