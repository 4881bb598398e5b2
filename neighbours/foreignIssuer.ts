// Reads an issuer that is not the platform's, of whatever kind, and what has been asked of it already.

import { ApisApi, CustomObjectsApi, type KubeConfig } from "@kubernetes/client-node";
import { found, reasonOf, statusOf } from "@mtls-everywhere/cluster-access/cluster";

/** Which one, in full. */
export interface IssuerKey {
  readonly name: string;
  readonly kind: string;
  readonly group: string;
}

/** How it stands; `unknown` if the caller may not look. */
export type IssuerState =
  "ready" | "absent" | "no such kind" | "unknown" | { readonly notReady: string; readonly issued: boolean };

interface IssuerObject {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}

/**
 * The issuer, as a certificate in the namespace would find it. One that reports no condition counts as ready.
 * @param certificate name of the Certificate that may have been issued by it before
 * @throws when the API server does not answer.
 */
export async function issuerState(
  config: KubeConfig,
  key: IssuerKey,
  namespace: string,
  certificate: string,
): Promise<IssuerState> {
  const what = `${key.kind} ${key.name}`;
  try {
    const version = await versionOf(config, key.group);
    if (version === undefined) return "no such kind";
    const objects = config.makeApiClient(CustomObjectsApi);
    const kinds = await found(() => objects.getAPIResources({ group: key.group, version }));
    const resource = kinds?.resources.find(({ kind, name }) => kind === key.kind && !name.includes("/"));
    if (resource === undefined) return "no such kind";
    const at = { group: key.group, version, plural: resource.name, name: key.name };
    const issuer = (await found<unknown>(() =>
      resource.namespaced
        ? objects.getNamespacedCustomObject({ ...at, namespace })
        : objects.getClusterCustomObject(at),
    )) as IssuerObject | undefined;
    if (issuer === undefined) return "absent";
    const ready = issuer.status?.conditions?.find(({ type }) => type === "Ready");
    if (ready === undefined || ready.status === "True") return "ready";
    return {
      notReady: ready.message ?? "it gives no reason",
      issued: await issuedBy(config, key, namespace, certificate),
    };
  } catch (error) {
    if (statusOf(error) === 403) return "unknown";
    throw new Error(`${what} could not be read: ${reasonOf(error)}.`, { cause: error });
  }
}

/** Versions of a group that the cluster serves, the preferred one. */
async function versionOf(config: KubeConfig, group: string): Promise<string | undefined> {
  if (group === "cert-manager.io") return "v1";
  const { groups } = await config.makeApiClient(ApisApi).getAPIVersions();
  return groups.find(({ name }) => name === group)?.preferredVersion?.version;
}

/** Whether the Certificate names it already and has been issued: then it can wait until the issuer is back. */
async function issuedBy(config: KubeConfig, key: IssuerKey, namespace: string, name: string): Promise<boolean> {
  const at = { group: "cert-manager.io", version: "v1", plural: "certificates", namespace, name };
  const object = (await found<unknown>(() => config.makeApiClient(CustomObjectsApi).getNamespacedCustomObject(at))) as
    (IssuerObject & { readonly spec?: { readonly issuerRef?: Partial<IssuerKey> } }) | undefined;
  const { name: of, kind, group } = object?.spec?.issuerRef ?? {};
  const ready = object?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
  return ready === true && of === key.name && kind === key.kind && group === key.group;
}
