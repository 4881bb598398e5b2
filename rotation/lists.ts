// The lists that checks and rotations read across all namespaces, with an error that names a missing right.

import { CoreV1Api, CustomObjectsApi, type KubeConfig, type V1ConfigMap, type V1Pod } from "@kubernetes/client-node";
import { reasonOf, statusOf } from "@mtls-everywhere/cluster-access/cluster";

/** A cert-manager Certificate, as far as anybody looks at it. */
export interface CertificateObject {
  readonly metadata: Metadata;
  readonly spec: {
    readonly issuerRef: IssuerName;
    readonly uris?: readonly string[];
    readonly usages?: readonly string[];
    readonly dnsNames?: readonly string[];
    readonly duration?: string;
  };
  readonly status?: {
    readonly conditions?: readonly Condition[];
    /** Both are set once it has been issued. */
    readonly revision?: number;
    readonly notAfter?: string;
  };
}

/** A CertificateRequest, likewise. */
export interface RequestObject {
  readonly metadata: Metadata;
  readonly spec: { readonly issuerRef: IssuerName };
  readonly status?: { readonly certificate?: string; readonly conditions?: readonly Condition[] };
}

export interface IssuerName {
  readonly name: string;
  readonly kind?: string;
  readonly group?: string;
}

interface Metadata {
  readonly name: string;
  readonly namespace: string;
  readonly generation?: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly observedGeneration?: number;
}

/** Whether its Secret holds what it asks for, issuer included: to cert-manager, that is what Ready means. */
export function isCurrent({ metadata, status }: CertificateObject): boolean {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  return ready?.status === "True" && (ready.observedGeneration ?? metadata.generation) === metadata.generation;
}

/** Lists with the caller's own rights. */
export class Lists {
  readonly #core: CoreV1Api;
  readonly #custom: CustomObjectsApi;

  constructor(config: KubeConfig) {
    this.#core = config.makeApiClient(CoreV1Api);
    this.#custom = config.makeApiClient(CustomObjectsApi);
  }

  /** A ConfigMap, or undefined when there is none. */
  async configMap(namespace: string, name: string): Promise<V1ConfigMap | undefined> {
    return answer("get", `ConfigMap ${namespace}/${name}`, "configmaps", namespace, () =>
      this.#core.readNamespacedConfigMap({ namespace, name }),
    );
  }

  async configMaps(labelSelector: string): Promise<readonly V1ConfigMap[]> {
    const list = await answer("list", "ConfigMaps", "configmaps", undefined, () =>
      this.#core.listConfigMapForAllNamespaces({ labelSelector }),
    );
    return list?.items ?? [];
  }

  async pods(labelSelector: string): Promise<readonly V1Pod[]> {
    const list = await answer("list", "Pods", "pods", undefined, () =>
      this.#core.listPodForAllNamespaces({ labelSelector }),
    );
    return list?.items ?? [];
  }

  /** Of one namespace, or of all. */
  async certificates(namespace?: string): Promise<readonly CertificateObject[]> {
    return this.#certManager("certificates", namespace);
  }

  async requests(): Promise<readonly RequestObject[]> {
    return this.#certManager("certificaterequests", undefined);
  }

  async #certManager<T>(
    plural: "certificates" | "certificaterequests",
    namespace: string | undefined,
  ): Promise<readonly T[]> {
    const kind = { group: "cert-manager.io", version: "v1", plural };
    const list = (await answer("list", plural, `${plural}.cert-manager.io`, namespace, () =>
      namespace === undefined
        ? this.#custom.listClusterCustomObject(kind)
        : this.#custom.listNamespacedCustomObject({ ...kind, namespace }),
    )) as { readonly items: readonly T[] } | undefined;
    return list?.items ?? [];
  }
}

/** The API server's answer; undefined when the object, or cert-manager itself, does not exist. */
async function answer<T>(
  verb: "get" | "list",
  what: string,
  resource: string,
  namespace: string | undefined,
  call: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    const status = statusOf(error);
    const place = namespace === undefined ? "all namespaces" : `namespace ${namespace}`;
    if (status === 404) return undefined;
    if (status === 403) {
      throw new Error(
        `The kubeconfig's user may not read ${what}: grant it "${verb}" on ${resource} in ${place} (docs/roles.md).`,
        { cause: error },
      );
    }
    throw new Error(
      `${what} could not be read in ${place}: ${reasonOf(error)}. Check that the cluster is up, then run the same command again.`,
      { cause: error },
    );
  }
}
