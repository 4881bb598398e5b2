/** The soak's live view of the cluster: leaves as they change, bundles, and the pods behind each listener. */
import { X509Certificate } from "node:crypto";
import {
  CoreV1Api,
  type KubeConfig,
  type KubernetesListObject,
  type KubernetesObject,
  makeInformer,
  type V1ConfigMap,
  type V1Pod,
  type V1Secret,
} from "@kubernetes/client-node";
import { setTimeout as sleep } from "node:timers/promises";

/** A leaf in its Secret, from the moment it was seen there. */
export interface LeafChange {
  /** `<namespace>/<name>` of the Secret. */
  readonly secret: string;
  readonly serial: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

export class View {
  readonly #config: KubeConfig;
  readonly #api: CoreV1Api;
  readonly #namespace: string;
  readonly #pairs = new Map<string, Pair & { readonly serial: string }>();
  readonly #bundles = new Map<string, Readonly<Record<string, string>>>();
  readonly #pods = new Map<string, V1Pod>();
  readonly #stops: (() => void)[] = [];
  /** Every leaf seen, oldest first. */
  readonly changes: LeafChange[] = [];
  /** Called after every change, once it is visible here. */
  onChange: () => void = () => {};

  constructor(config: KubeConfig, namespace: string) {
    this.#config = config;
    this.#api = config.makeApiClient(CoreV1Api);
    this.#namespace = namespace;
  }

  /** Settles when everything has been seen once. */
  async start(): Promise<void> {
    const namespace = this.#namespace;
    await Promise.all([
      this.#follow<V1Secret>("/api/v1/secrets", () => this.#api.listSecretForAllNamespaces(), {
        seen: (secret) => this.#sawSecret(secret),
        gone: () => {}, // its leaf is still served
      }),
      this.#follow<V1ConfigMap>(
        `/api/v1/namespaces/${namespace}/configmaps`,
        () => this.#api.listNamespacedConfigMap({ namespace }),
        {
          seen: ({ metadata, data = {} }) => {
            this.#bundles.set(metadata?.name ?? "", data);
            this.onChange();
          },
          gone: ({ metadata }) => this.#bundles.delete(metadata?.name ?? ""),
        },
      ),
      this.#follow<V1Pod>(`/api/v1/namespaces/${namespace}/pods`, () => this.#api.listNamespacedPod({ namespace }), {
        seen: (pod) => {
          this.#pods.set(pod.metadata?.uid ?? "", pod);
          this.onChange();
        },
        gone: (pod) => {
          this.#pods.delete(pod.metadata?.uid ?? "");
          this.onChange();
        },
      }),
    ]);
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }

  /** The leaf and key in a Secret, as last seen. */
  pair(secret: string): Pair & { readonly serial: string } {
    const pair = this.#pairs.get(secret);
    if (pair === undefined) throw new Error(`There is no leaf in Secret ${secret}.`);
    return pair;
  }

  /** The Secret that holds or held a leaf. */
  secretOf(serial: string): string | undefined {
    return this.changes.find((change) => change.serial === serial)?.secret;
  }

  /** An entry of a ConfigMap in the platform's namespace. */
  bundle(name: string, key: string): string {
    return this.#bundles.get(name)?.[key] ?? "";
  }

  /** Pods with these labels (`a=b,c=d`) that have an address, terminating ones too. */
  pods(selector = ""): V1Pod[] {
    const wanted = selector
      .split(",")
      .filter(Boolean)
      .map((pair) => pair.split("="));
    return [...this.#pods.values()].filter(
      ({ metadata, status }) =>
        status?.podIP && wanted.every(([label = "", value]) => metadata?.labels?.[label] === value),
    );
  }

  /** Settles when all pods are ready and none is terminating. */
  async settled(within: number, signal: AbortSignal): Promise<void> {
    const restless = () => [...this.#pods.values()].some((pod) => pod.metadata?.deletionTimestamp || !isReady(pod));
    for (const end = Date.now() + within; restless() && Date.now() < end;) await sleep(200, undefined, { signal });
  }

  #sawSecret(secret: V1Secret): void {
    const [cert, key] = ["tls.crt", "tls.key"].map((entry) => secret.data?.[entry]);
    if (secret.type !== "kubernetes.io/tls" || !cert || !key) return;
    const name = `${secret.metadata?.namespace}/${secret.metadata?.name}`;
    const pem = Buffer.from(cert, "base64").toString();
    const serial = serialOf(pem);
    if (serial === undefined || this.#pairs.get(name)?.serial === serial) return;
    this.#pairs.set(name, { cert: pem, key: Buffer.from(key, "base64").toString(), serial });
    this.changes.push({ secret: name, serial, at: Date.now() });
    this.onChange();
  }

  async #follow<T extends KubernetesObject>(
    path: string,
    list: () => Promise<KubernetesListObject<T>>,
    { seen, gone }: { readonly seen: (object: T) => void; readonly gone: (object: T) => void },
  ): Promise<void> {
    const informer = makeInformer<T>(this.#config, path, list);
    let stopped = false;
    const start = () =>
      informer.start().catch(async () => {
        await sleep(500);
        if (!stopped) await start();
      });
    informer.on("add", seen);
    informer.on("update", seen);
    informer.on("delete", gone);
    informer.on("error", () => void sleep(500).then(() => (stopped ? undefined : start())));
    this.#stops.push(() => {
      stopped = true;
      void informer.stop();
    });
    await start();
  }
}

export function isReady({ status }: V1Pod): boolean {
  return (status?.conditions ?? []).some(({ type, status }) => type === "Ready" && status === "True");
}

function serialOf(pem: string): string | undefined {
  try {
    return new X509Certificate(pem).serialNumber;
  } catch {
    return undefined; // a Secret that is still being filled
  }
}
