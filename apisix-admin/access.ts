// The way into a cluster: credentials by reference, and TLS through a port-forward.

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { Duplex, PassThrough } from "node:stream";
import type { TLSSocket } from "node:tls";

import { CoreV1Api, KubeConfig, PortForward } from "@kubernetes/client-node";
import type { V1Pod, V1PodCondition } from "@kubernetes/client-node";

import { reasonOf, saidBy, statusOf } from "./apiErrors.ts";
import type { KeyPair } from "./certificates.ts";
import { MissingObject, Transient, WrongCluster } from "./errors.ts";
import { type ClientTls, handshake } from "./handshake.ts";
import type { ConfigMapKeyRef, PodPort, SecretKeyRef, SecretRef } from "./references.ts";
import type { Access } from "./session.ts";

export { reasonOf, saidBy, statusOf } from "./apiErrors.ts";
export type { KeyPair } from "./certificates.ts";

/** Which kubeconfig to use; the defaults are the Kubernetes provider's (`KUBECONFIG`, current context). */
export interface ClusterSelection {
  /** A path, which may begin with `~/`, or the kubeconfig's text. */
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
}

/** A Kubernetes cluster seen with the caller's own rights. */
export class Cluster implements Access {
  readonly #api: CoreV1Api;
  readonly #forward: PortForward;
  readonly config: KubeConfig;

  constructor(selection: ClusterSelection = {}) {
    this.config = loadKubeConfig(selection);
    this.#api = this.config.makeApiClient(CoreV1Api);
    this.#forward = new PortForward(this.config);
  }

  /** UID of `kube-system`: the customary identity of a cluster. */
  async uid(): Promise<string> {
    const namespace = await this.#read("Namespace", "", "kube-system", () =>
      this.#api.readNamespace({ name: "kube-system" }),
    );
    return namespace.metadata?.uid ?? "";
  }

  /** Refuses to go on when the kubeconfig points at another cluster than that where `what` lives. */
  async expect(uid: string, what = "the resource"): Promise<void> {
    const actual = await this.uid();
    if (actual !== uid) {
      throw new WrongCluster(
        `The kubeconfig's context "${this.config.getCurrentContext()}" is cluster ${actual}, but ${what} lives in cluster ${uid}. ` +
          `Point KUBECONFIG or kubernetes:context at the right cluster.`,
      );
    }
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
      throw new MissingObject(`${what} has no entry "${ref.key}". ${origin("ConfigMap", ref.namespace, ref.name)}`);
    }
    return bundle;
  }

  /** Pods that nobody has told to end. */
  async pods({ namespace, selector }: Pick<PodPort, "namespace" | "selector">): Promise<V1Pod[]> {
    const { items } = await this.#read("Pods", namespace, selector, () =>
      this.#api.listNamespacedPod({ namespace, labelSelector: selector }),
    );
    return items.filter(({ metadata }) => !metadata?.deletionTimestamp);
  }

  /** A raw byte stream to a ready pod's port, or to that pod's. */
  async open(to: Omit<PodPort, "serverName"> & { readonly pod?: string }, signal?: AbortSignal): Promise<Duplex> {
    const pod = to.pod ?? (await this.#readyPod(to));
    const fromPod = new PassThrough();
    const toPod = new PassThrough();
    const errors = new PassThrough();
    const stream = Duplex.from({ readable: fromPod, writable: toPod });
    errors.on("data", (message: Buffer) =>
      stream.destroy(new Transient(`port-forward to ${to.namespace}/${pod}:${to.port}: ${String(message).trim()}`)),
    );
    const forward = await this.#portForward(to, pod, fromPod, errors, toPod);
    // An end, not an error: what the pod sent last, a TLS alert perhaps, is still on its way to the reader.
    forward.addEventListener("close", () => fromPod.end());
    stream.on("close", () => forward.close());
    if (signal?.aborted) stream.destroy(signal.reason as Error);
    signal?.addEventListener("abort", () => stream.destroy(signal.reason as Error), { once: true });
    return stream;
  }

  /** A verified TLS connection to a ready pod's port. Rejects with the handshake's own error. */
  async connect(to: PodPort, client: ClientTls, signal?: AbortSignal): Promise<TLSSocket> {
    return handshake({ socket: await this.open(to, signal) }, to.serverName, client);
  }

  async #portForward(
    to: Omit<PodPort, "serverName">,
    pod: string,
    out: PassThrough,
    err: PassThrough,
    into: PassThrough,
  ): Promise<WebSocket> {
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

  async #readyPod(to: Omit<PodPort, "serverName">): Promise<string> {
    const items = await this.pods(to);
    const ready = items.find((pod) => readyCondition(pod) !== undefined);
    if (!ready?.metadata?.name) {
      throw new Transient(
        `No ready pod matches ${to.selector} in namespace ${to.namespace} (${items.length} found). ` +
          `Look at: kubectl -n ${to.namespace} get pods -l ${to.selector}`,
      );
    }
    return ready.metadata.name;
  }

  /** The API's answer, or an error that names the object and what to do. */
  async #read<T>(kind: string, namespace: string, name: string, call: () => Promise<T>): Promise<T> {
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
      if (status === 404) throw new MissingObject(`${what} does not exist. ${origin(kind, namespace, name)}`);
      if (status === 403) {
        const verb = kind === "Pods" ? "list" : "get";
        throw new Error(`${what} may not be read with the kubeconfig's user: grant it "${verb}" on that object.`);
      }
      if (status === 401) {
        throw new Error(
          `${what} could not be read: the kubeconfig's credentials in ${context} are not accepted. Renew them.`,
        );
      }
      const server = this.config.getCurrentCluster()?.server ?? "the cluster";
      const failure = `${what} could not be read from ${server}: ${reasonOf(error)}.`;
      const remedy = `See that the cluster is up, and that ${context} of the kubeconfig is the right one: kubectl get --raw /readyz`;
      throw new Transient(`${failure} ${remedy}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The condition of a pod that serves. */
export function readyCondition({ status }: V1Pod): V1PodCondition | undefined {
  return status?.conditions?.find((condition) => condition.type === "Ready" && condition.status === "True");
}

function loadKubeConfig(selection: ClusterSelection): KubeConfig {
  const config = new KubeConfig();
  const given = selection.kubeconfig;
  if (!given) loadFromEnvironment(config);
  else if (given.includes("\n") || given.trimStart().startsWith("{")) config.loadFromString(given);
  // Only a shell expands "~", and the configuration has seen none; the Kubernetes provider does the same.
  else config.loadFromFile(given.startsWith("~/") ? join(homedir(), given.slice(2)) : given);
  if (selection.context) {
    if (!config.getContextObject(selection.context)) {
      const known = config.getContexts().map((context) => context.name);
      throw new Error(
        `The kubeconfig has no context "${selection.context}"; it has: ${known.join(", ") || "none"}. Set kubernetes:context to one of them.`,
      );
    }
    config.setCurrentContext(selection.context);
  }
  return config;
}

/**
 * As kubectl and the Kubernetes provider do it: of several files in `KUBECONFIG` the first that names something wins, and
 * missing ones are skipped. The library's own way ends in the last file's current context, which is another cluster.
 */
function loadFromEnvironment(config: KubeConfig): void {
  const files = (process.env.KUBECONFIG ?? "").split(delimiter).filter((file) => file !== "");
  if (files.length < 2) return config.loadFromDefault();
  const parts = files
    .filter((file) => existsSync(file))
    .map((file) => {
      const part = new KubeConfig();
      part.loadFromFile(file);
      return part;
    });
  config.loadFromOptions({
    clusters: firstOfName(parts.flatMap(({ clusters }) => clusters)),
    users: firstOfName(parts.flatMap(({ users }) => users)),
    contexts: firstOfName(parts.flatMap(({ contexts }) => contexts)),
    currentContext: parts.map(({ currentContext }) => currentContext).find((name) => name),
  });
}

function firstOfName<T extends { readonly name: string }>(items: readonly T[]): T[] {
  return items.filter(({ name }, index) => items.findIndex((item) => item.name === name) === index);
}

function entry(data: Record<string, string>, ref: SecretRef, key: string): string {
  const value = data[key];
  if (!value) {
    const what = `Secret ${ref.namespace}/${ref.name} has no "${key}".`;
    throw new MissingObject(`${what} ${origin("Secret", ref.namespace, ref.name)}`);
  }
  return Buffer.from(value, "base64").toString("utf8");
}

/** How long the API server may take for an answer, in milliseconds. */
const patience = 15_000;

/** Who makes an object, for the error that it is not there. */
function origin(kind: string, namespace: string, name: string): string {
  const issued = `If cert-manager issues it, look at: kubectl -n ${namespace} describe certificate ${name}. Otherwise run`;
  return `${kind === "Secret" ? issued : "Run"} pulumi up in the stack that makes it.`;
}
