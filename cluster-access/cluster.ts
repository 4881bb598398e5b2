// The way into a cluster: credentials by reference, and TLS through a port-forward.

import { Duplex, PassThrough } from "node:stream";
import type { TLSSocket } from "node:tls";

import {
  AppsV1Api,
  CoreV1Api,
  DiscoveryV1Api,
  type KubeConfig,
  PortForward,
  type V1Pod,
  type V1PodCondition,
  type V1StatefulSet,
} from "@kubernetes/client-node";
import type {
  ConfigMapKeyRef,
  OnePodPort,
  PodPort,
  SecretKeyRef,
  SecretRef,
} from "@mtls-everywhere/vocabulary/references";

import type { Access, Makers } from "./access.ts";
import { found, reasonOf, saidBy, statusOf } from "./apiErrors.ts";
import type { KeyPair } from "./certificates.ts";
import { MissingEntry, MissingObject, Transient, WrongCluster } from "./errors.ts";
import { type ClientTls, handshake } from "./handshake.ts";
import { removeIssued } from "./issuedSecrets.ts";
import { type ClusterSelection, loadKubeConfig } from "./kubeconfig.ts";
import { missingMaker } from "./makers.ts";
import { workloadOf, type Workloads } from "./workloads.ts";

export { found, reasonOf, saidBy, statusOf } from "./apiErrors.ts";
export type { KeyPair } from "./certificates.ts";
export type { ClusterSelection } from "./kubeconfig.ts";
export { rolling, type Workloads } from "./workloads.ts";

/** Where an API server listens, as pods see it behind its Service. */
export interface ApiServer {
  /** Sorted. */
  readonly addresses: readonly string[];
  readonly port: number;
}

/** A Kubernetes cluster seen with the caller's own rights. */
export class Cluster implements Access {
  readonly #api: CoreV1Api;
  readonly #apps: AppsV1Api;
  readonly #forward: PortForward;
  readonly config: KubeConfig;

  constructor(selection: ClusterSelection = {}) {
    this.config = loadKubeConfig(selection);
    this.#api = this.config.makeApiClient(CoreV1Api);
    this.#apps = this.config.makeApiClient(AppsV1Api);
    this.#forward = new PortForward(this.config);
  }

  /** UID of `kube-system`: the usual identity of a cluster. */
  async uid(): Promise<string> {
    const namespace = await this.#read("Namespace", "", "kube-system", () =>
      this.#api.readNamespace({ name: "kube-system" }),
    );
    return namespace.metadata?.uid ?? "";
  }

  /** Throws when the kubeconfig points at a cluster other than the one where `what` lives. */
  async expect(uid: string, what = "the resource"): Promise<void> {
    const actual = await this.uid();
    if (actual !== uid) {
      throw new WrongCluster(
        `The kubeconfig's context "${this.config.getCurrentContext()}" points at cluster ${actual}, but ${what} lives in cluster ${uid}. ` +
          `Point KUBECONFIG or kubernetes:context at the right cluster.`,
      );
    }
  }

  /** Names of the namespaces that a label selector selects; undefined where the caller may not list them. */
  async namespaces(labelSelector: string): Promise<readonly string[] | undefined> {
    try {
      const selected = { namespace: "", labelSelector };
      return (await this.#list("Namespaces", selected, () => this.#api.listNamespace({ labelSelector }))).map(nameOf);
    } catch (error) {
      if (error instanceof Transient) throw error;
      return undefined;
    }
  }

  /** The real endpoints of the API server. */
  async apiServer(): Promise<ApiServer> {
    const api = this.config.makeApiClient(DiscoveryV1Api);
    const name = { namespace: "default", name: "kubernetes" };
    const { endpoints = [], ports } = await this.#read("EndpointSlice", name.namespace, name.name, () =>
      api.readNamespacedEndpointSlice(name),
    );
    return { addresses: endpoints.flatMap(({ addresses }) => addresses).sort(), port: ports?.[0]?.port ?? 443 };
  }

  /** The leaf and key of a `kubernetes.io/tls` Secret. */
  async keyPair(ref: SecretRef): Promise<KeyPair> {
    const data = await this.#secretData(ref);
    return { cert: entry(data, ref, "tls.crt"), key: entry(data, ref, "tls.key") };
  }

  /** One entry of an opaque Secret. */
  async secretValue(ref: SecretKeyRef): Promise<string> {
    return entry(await this.#secretData(ref), ref, ref.key);
  }

  /** The public certificate of a `kubernetes.io/tls` Secret; its key is never looked at. */
  async certificate(ref: SecretRef): Promise<string> {
    return entry(await this.#secretData(ref), ref, "tls.crt");
  }

  /** The PEM bundle of a trust ConfigMap. */
  async trustBundle(ref: ConfigMapKeyRef): Promise<string> {
    const map = await this.#read("ConfigMap", ref.namespace, ref.name, () =>
      this.#api.readNamespacedConfigMap({ name: ref.name, namespace: ref.namespace }),
    );
    const bundle = map.data?.[ref.key];
    if (!bundle) {
      const what = `ConfigMap ${ref.namespace}/${ref.name}`;
      throw new MissingEntry(`${what} has no entry "${ref.key}".`, origin("ConfigMap", ref.namespace, ref.name));
    }
    return bundle;
  }

  /** Pods that are not being deleted. */
  async pods({ namespace, selector }: Pick<PodPort, "namespace" | "selector">): Promise<V1Pod[]> {
    return (await this.#pods(namespace, selector)).filter((pod) => !isLeaving(pod));
  }

  /** The Deployments, StatefulSets and pods of a namespace that a label selector selects, as they are now. */
  async workloads(namespace: string, labelSelector: string): Promise<Workloads> {
    const selected = { namespace, labelSelector };
    const [deployments, sets, pods] = await Promise.all([
      this.#list("Deployments", selected, () => this.#apps.listNamespacedDeployment(selected)),
      this.#list("StatefulSets", selected, () => this.#apps.listNamespacedStatefulSet(selected)),
      this.#pods(namespace, labelSelector),
    ]);
    return {
      workloads: [
        ...deployments.map((deployment) => workloadOf("deployment", deployment)),
        ...sets.map((set) => workloadOf("statefulset", set)),
      ],
      leaving: pods.filter(isLeaving).map(nameOf),
    };
  }

  /** A StatefulSet, if there is one. */
  async statefulSet(namespace: string, name: string): Promise<V1StatefulSet | undefined> {
    return this.#read("StatefulSet", namespace, name, () =>
      found(() => this.#apps.readNamespacedStatefulSet({ namespace, name })),
    );
  }

  /** Names of the ready pods that a label selector selects. */
  async readyPods(namespace: string, selector: string): Promise<string[]> {
    const pods = await this.#pods(namespace, selector);
    const ready = pods.filter((pod) => !isLeaving(pod) && readyCondition(pod) !== undefined).map(nameOf);
    if (ready.length > 0) return ready;
    throw new Transient(
      `No ready pod matches ${selector} in namespace ${namespace} (${pods.length} found). ` +
        `Check: kubectl -n ${namespace} get pods -l ${selector}`,
    );
  }

  /** What of these pods' makers is not there, in a sentence. Fails where the user may not look. */
  missingOf(makers: Makers): Promise<string | undefined> {
    return missingMaker(this.config, makers);
  }

  /** Deletes the Secret that cert-manager issued for a Certificate, once that is gone. */
  removeIssued(ref: SecretRef, certificate: string): Promise<void> {
    return removeIssued(this.config, ref, certificate);
  }

  /** A raw byte stream to a ready pod's port: the named pod's, or else any. */
  async open(to: Door, signal?: AbortSignal): Promise<Duplex> {
    const pod = to.pod ?? (await this.readyPods(to.namespace, to.selector))[0]!;
    const fromPod = new PassThrough();
    const toPod = new PassThrough();
    const errors = new PassThrough();
    const stream = Duplex.from({ readable: fromPod, writable: toPod });
    // It may fail before anybody listens, with the answer that opens it: that must not end the process.
    stream.on("error", () => {});
    errors.on("data", (message: Buffer) =>
      stream.destroy(new Transient(`port-forward to ${to.namespace}/${pod}:${to.port}: ${String(message).trim()}`)),
    );
    const forward = await this.#portForward(to, pod, fromPod, errors, toPod);
    // An end, not an error: what the pod sent last, a TLS alert perhaps, is still on its way to the reader.
    forward.addEventListener("close", () => fromPod.end());
    stream.on("close", () => forward.close());
    if (stream.errored) throw stream.errored;
    if (signal?.aborted) stream.destroy(signal.reason as Error);
    signal?.addEventListener("abort", () => stream.destroy(signal.reason as Error), { once: true });
    return stream;
  }

  /** A verified TLS connection to a ready pod's port. Rejects with the handshake's own error. */
  async connect(to: OnePodPort, client: ClientTls, signal?: AbortSignal): Promise<TLSSocket> {
    return handshake({ socket: await this.open(to, signal) }, to.serverName, client);
  }

  async #portForward(to: Door, pod: string, out: PassThrough, err: PassThrough, into: PassThrough): Promise<WebSocket> {
    try {
      // The library's own type for it needs a package that it does not depend on.
      const forward: unknown = await this.#forward.portForward(to.namespace, pod, [to.port], out, err, into);
      return forward as WebSocket;
    } catch (error) {
      const reason = saidBy(error);
      const what = `port-forward to ${to.namespace}/${pod}:${to.port}: ${reason}`;
      throw /\b40[13]\b/.test(reason)
        ? new Error(`${what}. Grant the kubeconfig's user "create" on pods/portforward.`)
        : new Transient(what);
    }
  }

  async #secretData(ref: SecretRef): Promise<Record<string, string>> {
    const secret = await this.#read("Secret", ref.namespace, ref.name, () =>
      this.#api.readNamespacedSecret({ name: ref.name, namespace: ref.namespace }),
    );
    return secret.data ?? {};
  }

  #pods(namespace: string, labelSelector: string): Promise<V1Pod[]> {
    const selected = { namespace, labelSelector };
    return this.#list("Pods", selected, () => this.#api.listNamespacedPod(selected));
  }

  async #list<T>(
    kind: string,
    { namespace, labelSelector }: Selected,
    call: () => Promise<{ readonly items: T[] }>,
  ): Promise<T[]> {
    return (await this.#read(kind, namespace, labelSelector, call, "list")).items;
  }

  /** The API's answer, or an error that names the object and what to do. */
  async #read<T>(kind: string, namespace: string, name: string, call: () => Promise<T>, verb = "get"): Promise<T> {
    const what = `${kind} ${namespace ? `${namespace}/` : ""}${name}`;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${patience / 1_000} s`)), patience);
    });
    try {
      return await Promise.race([call(), late]);
    } catch (error) {
      const context = `context "${this.config.getCurrentContext()}"`;
      const status = statusOf(error);
      if (status === 404) throw new MissingObject(`${what} does not exist.`, origin(kind, namespace, name));
      if (status === 403) {
        await this.#refuseGone(namespace);
        throw new Error(`The kubeconfig's user may not read ${what}: grant it "${verb}" on that object.`);
      }
      if (status === 401) {
        throw new Error(
          `${what} could not be read: the kubeconfig's credentials in ${context} were rejected. Renew them.`,
        );
      }
      const server = this.config.getCurrentCluster()?.server ?? "the cluster";
      const failure = `${what} could not be read from ${server}: ${reasonOf(error)}.`;
      const remedy = `Check that the cluster is up and that the kubeconfig's ${context} is the right one: kubectl get --raw /readyz`;
      throw new Transient(`${failure} ${remedy}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /** With a namespace go the rights in it: what is gone is then forbidden. */
  async #refuseGone(namespace: string): Promise<void> {
    const there =
      namespace === "" || (await found(() => this.#api.readNamespace({ name: namespace })).catch(() => true));
    if (!there) throw new MissingObject(`Namespace ${namespace} does not exist.`, origin("Namespace", "", namespace));
  }
}

/** The condition of a pod that serves. */
export function readyCondition({ status }: V1Pod): V1PodCondition | undefined {
  return status?.conditions?.find(({ type, status }) => type === "Ready" && status === "True");
}

/** Where a stream leads to. */
type Door = Omit<OnePodPort, "serverName">;

interface Selected {
  readonly namespace: string;
  readonly labelSelector: string;
}

function nameOf({ metadata }: Pick<V1Pod, "metadata">): string {
  return metadata?.name ?? "";
}

function isLeaving({ metadata }: V1Pod): boolean {
  return metadata?.deletionTimestamp !== undefined;
}

function entry(data: Record<string, string>, ref: SecretRef, key: string): string {
  const value = data[key];
  if (!value) {
    const what = `Secret ${ref.namespace}/${ref.name} has no "${key}".`;
    throw new MissingEntry(what, origin("Secret", ref.namespace, ref.name));
  }
  return Buffer.from(value, "base64").toString("utf8");
}

/** How long the API server may take to answer, in milliseconds. */
const patience = 15_000;

/** Who creates an object, for the error that says it is missing. */
function origin(kind: string, namespace: string, name: string): string {
  const issued = `If cert-manager issues it, look at: kubectl -n ${namespace} describe certificate ${name}. Otherwise run`;
  return `${kind === "Secret" ? issued : "Run"} pulumi up --refresh in the stack that owns it.`;
}
