/** A platform under load and under observation: the client keeps its credentials fresh, the probes follow the pods. */
import { join } from "node:path";
import { CoreV1Api, type V1Pod } from "@kubernetes/client-node";
import { spiffeId } from "@mtls-everywhere/vocabulary/identities";
import type { PlatformOutputs } from "../../outputs.ts";
import { addresses } from "../inside/addresses.ts";
import { labNetwork, podNetwork } from "./containers.ts";
import { load, limits } from "./forms.ts";
import type { Credentials, Target } from "./gatewayClient.ts";
import type { Inside } from "./inside.ts";
import { Leaves, type Leaf } from "./leaves.ts";
import type { Platform } from "./platform.ts";
import type { Listener, Sighting } from "./probes.ts";
import { Remote } from "./remote.ts";
import { isReady, View } from "./view.ts";
import { Writes } from "./writes.ts";

export const hops = ["gateway", "Admin API", "gateway to upstream", "upstream", "etcd", "etcd peers"] as const;
export type Hop = (typeof hops)[number];

type Process = Remote<Inside, Sighting>;

const program = join(import.meta.dirname, "inside.ts");
/** Name of its route and its leaf, and of its namespace, which is not the platform's: there, only the platform's own get leaves. */
const observerName = "soak-observer";
const observerSecret = `${observerName}/${observerName}`;
const observerHost = `${observerName}.${observerName}.svc`;
const observerPath = "/.soak/caller";
const callerListener = "gateway to upstream";

export class Scene {
  readonly platform: Platform;
  readonly outputs: PlatformOutputs;
  readonly view: View;
  readonly leaves: Leaves;
  readonly writes: Writes;
  readonly target: Target;
  /** Everything that each listener was seen to serve, oldest first. */
  readonly sightings = new Map<string, Sighting[]>();
  readonly #hops = new Map<string, Hop>();
  /** By pod UID: the Admin API listens on the pod's own loopback. */
  readonly #inPods = new Map<string, Process>();
  readonly #load: Process;
  readonly #eyes: Process;
  /** Whether something has changed since the last refresh started. */
  #changed = false;
  #refreshing: Promise<void> | undefined;

  private constructor(platform: Platform, outputs: PlatformOutputs, network: string, gateway: string) {
    this.platform = platform;
    this.outputs = outputs;
    this.view = new View(platform.cluster.config, outputs.namespace);
    this.leaves = new Leaves(platform.cluster.config);
    this.writes = new Writes(platform.cluster, outputs.admin);
    const { service } = outputs.gateway;
    this.target = { host: gateway, port: service.port, serverName: new URL(outputs.gateway.url).hostname };
    const saw = (sighting: Sighting) => this.#saw(sighting);
    this.#load = new Remote(network, program, saw);
    this.#eyes = new Remote(network, program, saw);
  }

  /** @param gateway the address of the gateway's Service */
  static async start(platform: Platform, outputs: PlatformOutputs, gateway: string): Promise<Scene> {
    const scene = new Scene(platform, outputs, await labNetwork(platform.lab), gateway);
    try {
      await scene.#start();
      return scene;
    } catch (error) {
      await scene.stop();
      throw error;
    }
  }

  /** The client's leaf and the roots it trusts. */
  credentials(): Credentials {
    const { trust } = this.outputs.gateway;
    const { cert, key } = this.view.pair(`${this.outputs.namespace}/client-curl`);
    return { ca: this.view.bundle(trust.name, trust.key), cert, key };
  }

  get load(): Process {
    return this.#load;
  }

  hopOf(listener: string): Hop {
    return this.#hops.get(listener) ?? callerListener;
  }

  /** The Secret of what a listener serves; undefined if it was never seen to serve a known leaf. */
  secretOf(listener: string): string | undefined {
    const seen = this.sightings.get(listener) ?? [];
    return seen.map(({ serial }) => this.view.secretOf(serial)).find((secret) => secret !== undefined);
  }

  /** The current listeners, and the last leaf that each was seen to serve. */
  get listeners(): readonly string[] {
    return [...this.#hops.keys()];
  }

  /** The display names of listeners that do not serve what their Secret holds. */
  stale(): string[] {
    const stale = this.listeners.filter((listener) => {
      const secret = this.secretOf(listener);
      const last = this.sightings.get(listener)?.at(-1)?.serial;
      return secret === undefined || last !== this.view.pair(secret).serial;
    });
    return stale.map((listener) => listener.split("/")[0] ?? "");
  }

  /** Has the observer's leaf issued by the current issuer, as a consumer's own `up` would. */
  async followIssuer(): Promise<Leaf> {
    const { issuers, trustDomain } = await this.platform.outputs();
    const { name, kind, group } = issuers.upstream;
    return this.leaves.apply(observerName, observerName, {
      secretName: observerName,
      ...{ duration: "24h", dnsNames: [observerHost], usages: ["digital signature", "server auth"] },
      uris: [spiffeId({ trustDomain, namespace: observerName, serviceAccount: "observer" })],
      privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
      issuerRef: { name, kind, group },
    });
  }

  async stop(): Promise<void> {
    this.view.onChange = () => {};
    this.view.stop();
    await this.#refreshing;
    await this.writes.stop().catch(() => undefined);
    await Promise.all([this.#load, this.#eyes, ...this.#inPods.values()].map((process) => process.end()));
  }

  async #start(): Promise<void> {
    await this.view.start();
    const core = this.platform.cluster.config.makeApiClient(CoreV1Api);
    await core.createNamespace({ body: { metadata: { name: observerName } } });
    await this.followIssuer();
    while (!this.view.changes.some(({ secret }) => secret === observerSecret)) await pause();
    const port = await this.#eyes.call("observe", addresses.node, this.view.pair(observerSecret));
    await this.#routeToObserver(port);
    await this.#refresh();
    this.view.onChange = () => this.#follow();
    this.#hops.set(callerListener, callerListener);
    await this.#eyes.call("watchCaller", callerListener, this.target, observerPath);
    await this.#load.call("start", { target: this.target, rate: load.rate, bound: limits.connection });
    await this.#load.call("use", load.kept);
    this.writes.start(this.target.serverName);
  }

  /** Behind the gateway like the platform's own upstream, to see what APISIX presents to it. */
  async #routeToObserver(port: number): Promise<void> {
    const { tls } = (await this.writes.get("upstreams", "hello")) ?? {};
    await this.writes.put("routes", observerName, {
      ...{ uri: observerPath, hosts: [this.target.serverName] },
      upstream: {
        ...{ type: "roundrobin", scheme: "https", nodes: { [`${addresses.node}:${port}`]: 1 } },
        ...{ pass_host: "rewrite", upstream_host: observerHost },
        ...(tls ? { tls } : {}),
      },
    });
  }

  /** One refresh at a time, and one more for everything that changes meanwhile. */
  #follow(): void {
    this.#changed = true;
    this.#refreshing ??= (async () => {
      while (this.#changed) {
        this.#changed = false;
        // What is terminating or not there yet fails, and its next change is seen too.
        await this.#refresh().catch(() => undefined);
      }
      this.#refreshing = undefined;
    })();
  }

  /** Updates the client's credentials, the observer's leaf and the probes to the cluster's current state. */
  async #refresh(): Promise<void> {
    const { outputs, view } = this;
    const credentials = this.credentials();
    await Promise.all([this.#load, this.#eyes].map((process) => process.call("become", credentials)));
    await this.#eyes.call("observe", addresses.node, view.pair(observerSecret));
    const gateways = view.pods(outputs.gateway.selector).filter(isThere);
    const listeners = (hop: Hop, pods: readonly V1Pod[], port: number, serverName: string): Listener[] =>
      pods.filter(isThere).map((pod) => {
        const name = `${hop} ${pod.metadata?.name}/${pod.metadata?.uid?.slice(0, 8)}`;
        this.#hops.set(name, hop);
        return { name, host: pod.status?.podIP ?? "", port, serverName };
      });
    const { gateway, upstream, store, admin } = outputs;
    const there = [
      ...listeners("gateway", gateways, gateway.port, this.target.serverName),
      ...listeners("upstream", view.pods(upstream.pods.selector), upstream.pods.port, upstream.pods.serverName),
      ...listeners("etcd", view.pods(store.selector), store.port, store.serverName),
      ...listeners("etcd peers", view.pods(store.peer.selector), store.peer.port, store.peer.serverName),
    ];
    const inPods = listeners("Admin API", gateways, admin.port, admin.serverName);
    const names = new Set([callerListener, ...there.map(({ name }) => name), ...inPods.map(({ name }) => name)]);
    for (const name of this.#hops.keys()) if (!names.has(name)) this.#hops.delete(name);
    await this.#eyes.call("watch", there);
    await this.#lookInto(gateways, inPods);
  }

  async #lookInto(pods: readonly V1Pod[], listeners: readonly Listener[]): Promise<void> {
    const uids = new Set(pods.map(({ metadata }) => metadata?.uid ?? ""));
    for (const [uid, process] of this.#inPods) {
      if (uids.has(uid)) continue;
      this.#inPods.delete(uid);
      await process.end();
    }
    for (const [index, pod] of pods.entries()) {
      const uid = pod.metadata?.uid ?? "";
      const network = podNetwork(pod);
      if (this.#inPods.has(uid) || network === undefined) continue;
      const process: Process = new Remote(network, program, (sighting) => this.#saw(sighting));
      this.#inPods.set(uid, process);
      await process.call("watch", [{ ...listeners[index]!, host: "127.0.0.1" }]);
    }
  }

  #saw(sighting: Sighting): void {
    const seen = this.sightings.get(sighting.listener) ?? [];
    seen.push(sighting);
    this.sightings.set(sighting.listener, seen);
  }
}

/** Ready, and not terminating. */
function isThere(pod: V1Pod): boolean {
  return isReady(pod) && !pod.metadata?.deletionTimestamp;
}

const pause = () => new Promise((done) => setTimeout(done, 100));
