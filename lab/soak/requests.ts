/** Requests through a running platform's gateway, from a process in its lab's network. */
import { join } from "node:path";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import { CoreV1Api } from "@kubernetes/client-node";
import type { GatewayEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import { labNetwork } from "./containers.ts";
import { limits } from "./forms.ts";
import type { Inside } from "./inside.ts";
import { Remote } from "./remote.ts";

export type Load = Remote<Inside, unknown>;

/** Starts requests on new connections as client `curl`, at a rate per second. End the process that is returned. */
export async function startLoad(
  { cluster, lab }: { readonly cluster: Cluster; readonly lab: string },
  { service, serverName, trust }: GatewayEndpoint,
  rate: number,
): Promise<Load> {
  const { name, namespace, port } = service;
  const core = cluster.config.makeApiClient(CoreV1Api);
  const { clusterIP = "" } = (await core.readNamespacedService({ name, namespace })).spec ?? {};
  const client = await cluster.keyPair({ namespace, name: "client-curl" });
  const load: Load = new Remote(await labNetwork(lab), join(import.meta.dirname, "inside.ts"), () => {});
  try {
    await load.call("become", { ca: await cluster.trustBundle(trust), ...client });
    const target = { host: clusterIP, port, serverName };
    await load.call("start", { target, rate, bound: limits.connection });
    return load;
  } catch (error) {
    await load.end();
    throw error;
  }
}
