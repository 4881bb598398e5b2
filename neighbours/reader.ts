// Reads what is in the cluster before a platform is created. What the caller may not read is skipped, and named.

import {
  ApiextensionsV1Api,
  AppsV1Api,
  CoreV1Api,
  CustomObjectsApi,
  type KubeConfig,
  type V1ObjectMeta,
  type V1Pod,
} from "@kubernetes/client-node";
import { reasonOf, statusOf } from "@mtls-everywhere/cluster-access/cluster";

import { limits, policies } from "../components/approver.ts";
import { stackLabelKey } from "../components/stackLabel.ts";
import { selectorOf } from "../components/workload.ts";
import type { Controller, Found, Kinds, Neighbours, ObjectName, Owner, Wanted } from "./live.ts";
import { nameOf } from "./names.ts";

export class NeighbourReader {
  /** What the caller may not read, as in messages. */
  readonly unread: string[] = [];
  readonly #core: CoreV1Api;
  readonly #apps: AppsV1Api;
  readonly #custom: CustomObjectsApi;
  readonly #extensions: ApiextensionsV1Api;

  constructor(config: KubeConfig) {
    this.#core = config.makeApiClient(CoreV1Api);
    this.#apps = config.makeApiClient(AppsV1Api);
    this.#custom = config.makeApiClient(CustomObjectsApi);
    this.#extensions = config.makeApiClient(ApiextensionsV1Api);
  }

  async read(wanted: Wanted): Promise<Neighbours> {
    const { namespace, certManager } = wanted;
    const limited = limits(certManager);
    const [home, certManagerHome, controllers, kinds, approverKinds, admissionKinds, ...others] = await Promise.all([
      this.#namespace(namespace),
      certManager.install ? this.#namespace(certManager.namespace) : unasked,
      this.#controllers(certManager.install),
      // Only the definition says whose it is; anybody may ask whether the kinds exist at all.
      certManager.install ? this.#definition("certificates.cert-manager.io") : this.#served("cert-manager.io"),
      limited ? this.#definition(`${policies.plural}.${policies.group}`) : unasked,
      limited ? this.#served("admissionregistration.k8s.io", "validatingadmissionpolicies") : unasked,
      wanted.monitoring ? this.#served("monitoring.coreos.com") : unasked,
      Promise.all(wanted.objects.map((object) => this.#object(object))),
      wanted.running ? unasked : this.#claims(namespace),
    ]);
    const [monitoringKinds, objects, claims] = others;
    return {
      ...{ home, certManagerHome, controllers, kinds, approverKinds, admissionKinds, monitoringKinds },
      objects: objects.filter((object) => typeof object === "object"),
      claims: typeof claims === "object" ? claims : [],
    };
  }

  #namespace(name: string): Promise<Found<Owner>> {
    return this.#found(`Namespace ${name}`, async () => ownerOf(await this.#core.readNamespace({ name })));
  }

  /** By its pods: a rotation's check needs the right to list pods everywhere anyway. */
  async #controllers(owned: boolean): Promise<readonly Controller[]> {
    const labelSelector = selectorOf("cert-manager");
    const pods = await this.#found("Pods of all namespaces", async () => {
      return (await this.#core.listPodForAllNamespaces({ labelSelector })).items;
    });
    if (typeof pods === "string") return [];
    const running = pods.filter(({ metadata }) => metadata?.deletionTimestamp === undefined).map(controllerOf);
    const each = [...new Map(running.map((controller) => [controller.namespace, controller])).values()];
    if (!owned) return each;
    return Promise.all(
      each.map(async (controller) => {
        const home = await this.#namespace(controller.namespace);
        return { ...controller, ...(typeof home === "object" ? home : {}) };
      }),
    );
  }

  #definition(name: string): Promise<Found<Kinds>> {
    return this.#found(`CustomResourceDefinition ${name}`, async () => {
      const { metadata } = await this.#extensions.readCustomResourceDefinition({ name });
      const { "meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace } =
        metadata?.annotations ?? {};
      return release === undefined ? {} : { release: `${namespace}/${release}` };
    });
  }

  /** Whether the API server has a group, or in it a kind by its plural. */
  #served(group: string, plural?: string): Promise<Found<Kinds>> {
    return this.#found<Kinds | "absent">(`API group ${group}`, async () => {
      const { resources } = await this.#custom.getAPIResources({ group, version: "v1" });
      return plural === undefined || resources.some(({ name }) => name === plural) ? {} : "absent";
    });
  }

  #object(object: ObjectName): Promise<Found<ObjectName & Owner>> {
    const { kind, namespace, name } = object;
    return this.#found(nameOf(object), async () => ({ ...object, ...ownerOf(await this.#get(kind, name, namespace)) }));
  }

  #get(kind: ObjectName["kind"], name: string, namespace = ""): Promise<{ readonly metadata?: V1ObjectMeta }> {
    const named = { name, namespace };
    switch (kind) {
      case "Deployment":
        return this.#apps.readNamespacedDeployment(named);
      case "StatefulSet":
        return this.#apps.readNamespacedStatefulSet(named);
      case "Service":
        return this.#core.readNamespacedService(named);
      case "ClusterIssuer":
        return this.#custom.getClusterCustomObject({
          ...{ group: "cert-manager.io", version: "v1", plural: "clusterissuers", name },
        }) as Promise<{ readonly metadata?: V1ObjectMeta }>;
    }
  }

  /** A StatefulSet's claims carry the labels that select its pods. */
  #claims(namespace: string): Promise<Found<readonly string[]>> {
    return this.#found(`PersistentVolumeClaims in namespace ${namespace}`, async () => {
      const selected = { namespace, labelSelector: selectorOf("etcd") };
      const { items } = await this.#core.listNamespacedPersistentVolumeClaim(selected);
      return items.map(({ metadata }) => metadata?.name ?? "").sort();
    });
  }

  async #found<T>(what: string, call: () => Promise<T>): Promise<Found<T>> {
    try {
      return await call();
    } catch (error) {
      const status = statusOf(error);
      if (status === 404) return "absent";
      if (status !== 403) throw new Error(`${what} could not be read: ${reasonOf(error)}.`, { cause: error });
      this.unread.push(what);
      return "unknown";
    }
  }
}

const unasked = "unknown" as const;

function ownerOf({ metadata }: { readonly metadata?: V1ObjectMeta }): Owner {
  const stack = metadata?.labels?.[stackLabelKey];
  return stack === undefined ? {} : { stack };
}

function controllerOf({ metadata, spec }: V1Pod): Controller {
  const { namespace = "", labels = {} } = metadata ?? {};
  const [container] = spec?.containers ?? [];
  const flag = container?.args?.find((arg) => arg.startsWith("--cluster-resource-namespace="));
  const issuersIn = flag?.split("=")[1] ?? "$(POD_NAMESPACE)"; // what the chart sets
  const version = /v\d+\.\d+\.\d+/.exec(`${labels["app.kubernetes.io/version"]} ${container?.image}`)?.[0];
  return {
    namespace,
    issuersIn: issuersIn === "$(POD_NAMESPACE)" ? namespace : issuersIn,
    ...(version === undefined ? {} : { version }),
  };
}
