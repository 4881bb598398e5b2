// The few answers of a Kubernetes API server that the dynamic resources ask for, on loopback: the product's own access runs against it.

import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import tls from "node:tls";

import { type ClientTls, Cluster } from "../../apisix-admin/access.ts";
import type { PodPort } from "../../apisix-admin/index.ts";

import { Authority } from "./authorities.ts";

export class KubernetesApi {
  /** Objects by path under /api/v1, and statuses for what is to be refused. */
  readonly answers = new Map<string, object | number>();
  readonly #server: Server;
  readonly #root: string;

  private constructor(uid: string, root: string, pair: { cert: string; key: string }) {
    this.#root = root;
    this.answers.set("namespaces/kube-system", { metadata: { name: "kube-system", uid } });
    this.#server = createServer(pair, (request, response) => {
      const path = new URL(request.url ?? "", "http://localhost").pathname.replace("/api/v1/", "");
      const answer = this.answers.get(path) ?? (path.endsWith("/pods") ? { items: [] } : 404);
      response.writeHead(typeof answer === "number" ? answer : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(typeof answer === "number" ? { kind: "Status", code: answer } : answer));
    });
  }

  static async start(uid: string): Promise<KubernetesApi> {
    const authority = await Authority.create("kubernetes");
    const pair = await authority.leaf({ dnsNames: ["localhost"], usages: ["server auth"] });
    const api = new KubernetesApi(uid, authority.root, pair);
    await new Promise<void>((resolve) => api.#server.listen(0, "localhost", resolve));
    return api;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  secret(namespace: string, name: string, entries: Readonly<Record<string, string>>): void {
    const data = Object.entries(entries).map(([key, value]) => [key, Buffer.from(value).toString("base64")]);
    this.answers.set(`namespaces/${namespace}/secrets/${name}`, { data: Object.fromEntries(data) as object });
  }

  configMap(namespace: string, name: string, data: Readonly<Record<string, string>>): void {
    this.answers.set(`namespaces/${namespace}/configmaps/${name}`, { data });
  }

  /** A kubeconfig's text whose only context is called `here`. */
  get kubeconfig(): string {
    return kubeconfigFor((this.#server.address() as AddressInfo).port, this.#root);
  }
}

export function kubeconfigFor(port: number, root = ""): string {
  const trust = { "certificate-authority-data": Buffer.from(root).toString("base64") };
  return JSON.stringify({
    ...{ apiVersion: "v1", kind: "Config", "current-context": "here" },
    clusters: [{ name: "here", cluster: { server: `https://localhost:${port}`, ...trust } }],
    users: [{ name: "someone", user: {} }],
    contexts: [{ name: "here", context: { cluster: "here", user: "someone" } }],
  });
}

/** The product's own cluster, but for the port-forward: its pods listen on loopback. */
export class LoopbackCluster extends Cluster {
  /** Limits short enough for a test. */
  patience = { acting: { deadline: 1_000 }, looking: { deadline: 1_000, silence: 1_000 } };

  override async connect(to: PodPort, client: ClientTls): Promise<tls.TLSSocket> {
    return new Promise((resolve, reject) => {
      const { ca, pair } = client;
      const socket = tls.connect(
        { host: "127.0.0.1", port: to.port, servername: to.serverName, ca, ...(pair ?? {}) },
        () => resolve(socket),
      );
      socket.on("error", reject);
    });
  }
}
