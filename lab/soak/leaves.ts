/** A cluster's leaves, by cert-manager's Certificates, and how to renew them ahead of time. */
import { ApiException, CustomObjectsApi, type KubeConfig } from "@kubernetes/client-node";

interface Condition {
  readonly type: string;
  readonly status: string;
}

interface CertificateResource {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly generation?: number };
  readonly spec: Readonly<Record<string, unknown>> & { readonly isCA?: boolean; readonly secretName: string };
  readonly status?: { readonly conditions?: readonly Condition[] };
}

/** A leaf: its Certificate and the Secret that holds it. */
export interface Leaf {
  readonly namespace: string;
  readonly name: string;
  /** `<namespace>/<name>`. */
  readonly secret: string;
}

const resource = { group: "cert-manager.io", version: "v1", plural: "certificates" } as const;

export class Leaves {
  readonly #api: CustomObjectsApi;

  constructor(config: KubeConfig) {
    this.#api = config.makeApiClient(CustomObjectsApi);
  }

  /** All leaves in the cluster, not counting CAs. */
  async list(): Promise<Leaf[]> {
    const list: unknown = await this.#api.listClusterCustomObject(resource);
    return (list as { items: CertificateResource[] }).items
      .filter(({ spec }) => !spec.isCA)
      .map(({ metadata: { namespace, name }, spec }) => ({
        namespace,
        name,
        secret: `${namespace}/${spec.secretName}`,
      }));
  }

  /** Has a leaf reissued, as `cmctl renew` does, unless it is being issued already. */
  async renew({ namespace, name }: Leaf): Promise<void> {
    for (;;) {
      const certificate = (await this.#api.getNamespacedCustomObject({
        ...resource,
        namespace,
        name,
      })) as CertificateResource;
      const conditions = certificate.status?.conditions ?? [];
      if (conditions.some(({ type, status }) => type === "Issuing" && status === "True")) return;
      const issuing = {
        type: "Issuing",
        status: "True",
        reason: "ManuallyTriggered",
        message: "Certificate re-issuance manually triggered",
        lastTransitionTime: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
        observedGeneration: certificate.metadata.generation,
      };
      const others = conditions.filter(({ type }) => type !== "Issuing");
      const body = { ...certificate, status: { ...certificate.status, conditions: [...others, issuing] } };
      try {
        await this.#api.replaceNamespacedCustomObjectStatus({ ...resource, namespace, name, body });
        return;
      } catch (error) {
        // cert-manager wrote in between.
        if (!(error instanceof ApiException && error.code === 409)) throw error;
      }
    }
  }

  /** Creates a leaf, or has it issued by another issuer. */
  async apply(namespace: string, name: string, spec: CertificateResource["spec"]): Promise<Leaf> {
    const object = {
      apiVersion: `${resource.group}/${resource.version}`,
      kind: "Certificate",
      metadata: { name },
      spec,
    };
    try {
      await this.#api.createNamespacedCustomObject({ ...resource, namespace, body: object });
    } catch (error) {
      if (!(error instanceof ApiException && error.code === 409)) throw error;
      const there = (await this.#api.getNamespacedCustomObject({
        ...resource,
        namespace,
        name,
      })) as CertificateResource;
      await this.#api.replaceNamespacedCustomObject({ ...resource, namespace, name, body: { ...there, spec } });
    }
    return { namespace, name, secret: `${namespace}/${spec.secretName}` };
  }
}
