// Reports certificate requests that were denied while an update waits for leaves: the update itself says so only at its time-out.

import { CustomObjectsApi } from "@kubernetes/client-node";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";

import { warnOnce } from "./watch.ts";

/** A certificate request, as far as it tells what became of it. */
export interface DecidedRequest {
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly message?: string }[] };
}

/**
 * Watches the certificate requests of a namespace until the program ends, and warns once of each Certificate whose request is
 * denied, with the reason. Does nothing in a preview.
 * @example
 * const { access, provider } = await connectCluster("cluster");
 * watchDenials(access, "shop");
 */
export function watchDenials(cluster: Cluster, namespace: string): void {
  const api = cluster.config.makeApiClient(CustomObjectsApi);
  const requests = { group: "cert-manager.io", version: "v1", plural: "certificaterequests", namespace };
  warnOnce(async () => {
    const { items } = (await api.listNamespacedCustomObject(requests)) as { items: readonly DecidedRequest[] };
    return items.flatMap(denials).map((words) => ({ about: words, words }));
  });
}

/** What is said of a request, if it was denied. */
export function denials({ metadata, status }: DecidedRequest): readonly string[] {
  const { namespace, name, annotations = {} } = metadata;
  const certificate = annotations["cert-manager.io/certificate-name"];
  const what =
    certificate === undefined ? `CertificateRequest ${namespace}/${name}` : `Certificate ${namespace}/${certificate}`;
  return (status?.conditions ?? [])
    .filter(({ type }) => type === "Denied")
    .map(
      ({ message = "no reason is given" }) =>
        `${what} was denied: ${message}. The update keeps waiting until it times out. Press Ctrl-C to end it, then ask for what ` +
        "docs/threat-model.md allows a namespace, or have the platform's owner list the host in gateway.hosts.",
    );
}
