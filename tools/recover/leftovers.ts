// Removes what a killed update left in the cluster, if and only if it carries the stack's label.

import { gunzipSync } from "node:zlib";

import { CoreV1Api, type KubeConfig, KubernetesObjectApi, type V1Secret } from "@kubernetes/client-node";
import { until } from "@mtls-everywhere/cluster-access";
import { statusOf } from "@mtls-everywhere/cluster-access/cluster";
import { parseAllDocuments } from "yaml";

import { stackLabelKey } from "../../components/stackLabel.ts";
import type { Leftover, ObjectLeftover, ReleaseLeftover } from "./plan.ts";

type Header = Pick<ObjectLeftover, "apiVersion" | "kind" | "name" | "namespace">;

/** Milliseconds for an object's deletion, finalizers included. */
const patience = 60_000;

/** What became of a leftover, as a sentence. */
export type Outcome = string;

/** One stack's leftovers in a cluster. */
export class Leftovers {
  readonly #objects: KubernetesObjectApi;
  readonly #core: CoreV1Api;
  readonly #label: string;

  constructor(config: KubeConfig, label: string) {
    this.#objects = KubernetesObjectApi.makeApiClient(config);
    this.#core = config.makeApiClient(CoreV1Api);
    this.#label = label;
  }

  async remove(leftover: Leftover): Promise<Outcome> {
    return leftover.leftover === "release" ? this.#removeRelease(leftover) : this.#removeObject(leftover);
  }

  async #removeObject(object: ObjectLeftover): Promise<Outcome> {
    const live = await this.#read(object);
    if (!live) return `${nameOf(object)} was not created`;
    if (live.metadata?.labels?.[stackLabelKey] !== this.#label) {
      return `${nameOf(object)} exists but was not made by this stack: left alone; the next pulumi up will refuse it`;
    }
    await this.#delete(object);
    return `${nameOf(object)} was created but never recorded: removed; the next pulumi up creates it again`;
  }

  async #removeRelease(release: ReleaseLeftover): Promise<Outcome> {
    const { name, namespace } = release;
    const what = `Helm release ${namespace}/${name}`;
    const home = await this.#read({ apiVersion: "v1", kind: "Namespace", name: namespace });
    if (!home) return `${what} was not installed`;
    if (home.metadata?.labels?.[stackLabelKey] !== this.#label) {
      return `${what} is in a namespace that this stack did not make: left alone; the next pulumi up will refuse it`;
    }
    return release.begun === "install" ? this.#uninstall(what, release) : this.#dropUpgrade(what, release);
  }

  /** Like `helm uninstall`: deletes everything in the stored manifests that is not marked to be kept, then the records. */
  async #uninstall(what: string, { name, namespace }: ReleaseLeftover): Promise<Outcome> {
    const records = await this.#records(namespace, `owner=helm,name=${name}`);
    if (records.length === 0) return `${what} was not installed`;
    const headers = records.flatMap((secret) => releaseObjects(secret.data?.release ?? "", namespace));
    for (const header of headers) {
      const live = await this.#read(header);
      const annotations = live?.metadata?.annotations ?? {};
      const own =
        annotations["meta.helm.sh/release-name"] === name &&
        annotations["meta.helm.sh/release-namespace"] === namespace;
      if (live && own && annotations["helm.sh/resource-policy"] !== "keep") await this.#delete(header);
    }
    await this.#deleteRecords(records);
    return `${what} was partly installed: removed; the next pulumi up installs it again`;
  }

  /** Deletes only the unfinished revision's record: helm upgrades from the deployed one. */
  async #dropUpgrade(what: string, { name, namespace }: ReleaseLeftover): Promise<Outcome> {
    const begun = "status in (pending-upgrade,pending-rollback)";
    const records = await this.#records(namespace, `owner=helm,name=${name},${begun}`);
    if (records.length === 0) return `${what} has no unfinished upgrade`;
    await this.#deleteRecords(records);
    return `${what} was partly upgraded: its record is removed; the next pulumi up upgrades it again`;
  }

  /** Helm's records of a release: one Secret per revision. */
  async #records(namespace: string, labelSelector: string): Promise<V1Secret[]> {
    return (await this.#core.listNamespacedSecret({ namespace, labelSelector })).items;
  }

  async #deleteRecords(records: readonly V1Secret[]): Promise<void> {
    for (const { metadata } of records) {
      const { name = "", namespace = "" } = metadata ?? {};
      await this.#delete({ apiVersion: "v1", kind: "Secret", name, namespace });
    }
  }

  async #read(header: Header) {
    return absentIsUndefined(() => this.#objects.read(specOf(header)));
  }

  async #delete(header: Header): Promise<void> {
    await absentIsUndefined(() =>
      this.#objects.delete(specOf(header), undefined, undefined, undefined, undefined, "Foreground"),
    );
    const gone = await until(async () => (await this.#read(header)) === undefined, { within: patience });
    if (!gone) {
      throw new Error(
        `${nameOf(header)} is still there after ${patience / 1000} s: a finalizer holds it. Look at it with kubectl describe.`,
      );
    }
  }
}

/** The objects of a stored Helm release: base64 (twice: the Secret's and Helm's own) of gzipped JSON. */
export function releaseObjects(stored: string, releaseNamespace: string): Header[] {
  const inner = Buffer.from(Buffer.from(stored, "base64").toString("utf8"), "base64");
  const { manifest = "", hooks = [] } = JSON.parse(gunzipSync(inner).toString("utf8")) as {
    readonly manifest?: string;
    readonly hooks?: readonly { readonly manifest?: string }[];
  };
  const texts = [manifest, ...hooks.map((hook) => hook.manifest ?? "")];
  return texts
    .flatMap((text) => parseAllDocuments(text))
    .flatMap((document): Header[] => {
      const object = document.toJS() as Partial<Header & { metadata: { name: string; namespace?: string } }> | null;
      if (!object?.apiVersion || !object.kind || !object.metadata) return [];
      const { apiVersion, kind, metadata } = object;
      return [{ apiVersion, kind, name: metadata.name, namespace: metadata.namespace ?? releaseNamespace }];
    });
}

/** A kind that the cluster does not know, or no longer knows, has no objects either. */
async function absentIsUndefined<T>(call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    if (error instanceof Error && error.message.startsWith("Unrecognized API version and kind")) return undefined;
    throw error;
  }
}

function specOf({ apiVersion, kind, name, namespace }: Header) {
  return { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}) } };
}

function nameOf({ kind, name, namespace }: Header): string {
  return `${kind} ${namespace ? `${namespace}/` : ""}${name}`;
}
