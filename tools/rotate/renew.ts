// Has leaves reissued, as `cmctl renew` does: the Secret keeps the old one until the new one is there.

import { CustomObjectsApi, type KubeConfig } from "@kubernetes/client-node";
import { until } from "@mtls-everywhere/cluster-access";
import { reasonOf, statusOf } from "@mtls-everywhere/cluster-access/cluster";

import type { CertificateObject } from "../../rotation/lists.ts";

const kind = { group: "cert-manager.io", version: "v1", plural: "certificates" };

/** A Certificate by its name. */
export interface CertificateName {
  readonly namespace: string;
  readonly name: string;
}

/** How a renewal ended. */
export type Renewal = CertificateName & ({ readonly revision: number } | { readonly failure: string });

export class Renewer {
  readonly #api: CustomObjectsApi;
  readonly #within: number;

  /** `within`: how long cert-manager may take to issue a leaf, in milliseconds. */
  constructor(config: KubeConfig, within = 60_000) {
    this.#api = config.makeApiClient(CustomObjectsApi);
    this.#within = within;
  }

  /** Has one leaf reissued, and waits for it. */
  async renew({ namespace, name }: CertificateName): Promise<Renewal> {
    const at = { ...kind, namespace, name };
    try {
      const before = await this.#trigger(at);
      const revision = await until(() => this.#issuedAfter(before, at), { within: this.#within, pause: 500 });
      if (revision !== undefined) return { namespace, name, revision };
      const why = `kubectl -n ${namespace} describe certificate ${name}`;
      return { namespace, name, failure: `not issued within ${this.#within / 1000} s; for the reason: ${why}` };
    } catch (error) {
      return { namespace, name, failure: failureOf(error) };
    }
  }

  /** The leaf's revision, once a newer one is ready. */
  async #issuedAfter(before: number, at: typeof kind & CertificateName): Promise<number | false> {
    const { status } = (await this.#api.getNamespacedCustomObject(at)) as CertificateObject;
    const { revision = 0, conditions = [] } = status ?? {};
    return (
      revision > before && conditions.some(({ type, status }) => type === "Ready" && status === "True") && revision
    );
  }

  /** Sets the condition that makes cert-manager issue a Certificate, retrying on conflicts; returns the revision before. */
  async #trigger(at: typeof kind & CertificateName): Promise<number> {
    for (let tries = 1; ; tries += 1) {
      const certificate = (await this.#api.getNamespacedCustomObject(at)) as CertificateObject;
      const { metadata, status } = certificate;
      const issuing = {
        type: "Issuing",
        status: "True",
        reason: "ManuallyTriggered",
        message: "Certificate re-issuance manually triggered",
        lastTransitionTime: new Date().toISOString().replace(/\.\d+/, ""),
        observedGeneration: metadata.generation,
      };
      const conditions = [...(status?.conditions ?? []).filter(({ type }) => type !== "Issuing"), issuing];
      try {
        await this.#api.replaceNamespacedCustomObjectStatus({
          ...at,
          body: { ...certificate, status: { ...status, conditions } },
        });
        return status?.revision ?? 0;
      } catch (error) {
        if (statusOf(error) !== 409 || tries === 5) throw error;
      }
    }
  }
}

function failureOf(error: unknown): string {
  if (statusOf(error) === 404) return "no such Certificate";
  if (statusOf(error) === 403)
    return `grant the kubeconfig's user "get" on certificates and "update" on certificates/status (docs/roles.md)`;
  return reasonOf(error);
}
