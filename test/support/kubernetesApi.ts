// A Kubernetes API server on loopback that does what the product needs: reads, lists by label, deletions and port-forwards.

import { createHash } from "node:crypto";
import { createServer, type Server } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";

import { Cluster } from "../../cluster-access/cluster.ts";
import { type ClientTls, handshake } from "../../cluster-access/handshake.ts";
import type { PodPort } from "../../vocabulary/references.ts";
import { Authority } from "./authorities.ts";

/** An object put there by a test; those without a namespace are cluster-wide. */
export interface StoredObject {
  readonly kind: "Namespace" | "ConfigMap" | "Secret";
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
}

/** What an API server of today serves of a group that a platform asks about, and where. */
export const admissionKinds = [
  "/apis/admissionregistration.k8s.io/v1",
  { resources: [{ name: "validatingadmissionpolicies" }] },
] as const;

export class KubernetesApi {
  /** Responses by path under /api/v1: objects, or status codes for what is to be refused. */
  readonly answers = new Map<string, object | number>();
  /** Responds to changes, by method and path, with an object or a status code. Without it, objects can be deleted. */
  onWrite: ((request: string, body: object) => object | number) | undefined;
  /** Loopback ports that port-forwards to single pods reach, by `namespace/pod:port`. */
  readonly ports = new Map<string, number>();
  readonly #server: Server;
  readonly #forwards = new Set<Socket | Duplex>();
  #podPort: number | undefined;
  readonly #root: string;

  private constructor(uid: string, root: string, pair: { cert: string; key: string }) {
    this.#root = root;
    this.answers.set(...admissionKinds);
    this.answers.set("namespaces/kube-system", { metadata: { name: "kube-system", uid } });
    for (const name of ["default", "mtls"]) this.answers.set(`namespaces/${name}`, { metadata: { name } });
    this.#server = createServer(pair, (request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? "", "http://localhost");
      const path = pathname.replace("/api/v1/", "");
      const selector = searchParams.get("labelSelector");
      const known = this.answers.get(path);
      const answer = known === undefined ? (this.#listed(path, selector ?? "") ?? 404) : selected(known, selector);
      if (request.method !== "GET" && this.onWrite) {
        const chunks: Buffer[] = [];
        const { onWrite } = this;
        request.on("data", (chunk: Buffer) => chunks.push(chunk));
        request.on("end", () => {
          const body = Buffer.concat(chunks).toString("utf8");
          const end = onWrite(`${request.method} ${path}`, body === "" ? {} : (JSON.parse(body) as object));
          response.writeHead(typeof end === "number" ? end : 200, { "content-type": "application/json" });
          response.end(JSON.stringify(typeof end === "number" ? { kind: "Status", code: end } : end));
        });
        return;
      }
      if (request.method === "DELETE") this.answers.delete(path);
      response.writeHead(typeof answer === "number" ? answer : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(typeof answer === "number" ? { kind: "Status", code: answer } : answer));
    });
    this.#server.on("upgrade", (request, stream) => {
      const { "sec-websocket-key": key = "", "sec-websocket-protocol": offered = "" } = request.headers;
      const { pathname, searchParams } = new URL(request.url ?? "", "http://localhost");
      const [, namespace, pod] = /namespaces\/([^/]+)\/pods\/([^/]+)\//.exec(pathname) ?? [];
      const port = this.ports.get(`${namespace}/${pod}:${searchParams.get("ports")}`) ?? this.#podPort ?? 0;
      this.#forward(stream, key, offered.split(",")[0]!, port);
    });
  }

  #listed(path: string, selector: string): object | undefined {
    if (path === "/api/v1") return { kind: "APIResourceList", groupVersion: "v1", resources };
    const pod = { metadata: { name: "pod" }, status: { conditions: [{ type: "Ready", status: "True" }] } };
    if (path.endsWith("/pods")) return { items: this.#podPort === undefined ? [] : [pod] };
    if (!path.endsWith("/secrets")) return undefined;
    return { items: this.#stored(`${path}/`).filter((object) => selects(selector, object)) };
  }

  #stored(under: string): StoredObject[] {
    return [...this.answers].flatMap(([path, object]) =>
      path.startsWith(under) && typeof object === "object" && "kind" in object ? [object as StoredObject] : [],
    );
  }

  /** A port-forward: a WebSocket whose binary messages start with a channel, 0 for data and 1 for errors. */
  #forward(stream: Duplex, key: string, protocol: string, port: number): void {
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    const headers = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`];
    const answer = Buffer.from(
      `HTTP/1.1 101 Switching Protocols\r\n${[...headers, `Sec-WebSocket-Protocol: ${protocol}`].join("\r\n")}\r\n\r\n`,
    );
    const opened = [0, 1].map((channel) => frame(channel, Buffer.alloc(2)));
    if (port === 0) {
      this.#forwards.add(stream);
      // All at once, as a busy API server may send it.
      stream.write(Buffer.concat([answer, ...opened, frame(1, Buffer.from("connection refused"))]));
      return;
    }
    stream.write(answer);
    const pod = connect(port, "127.0.0.1");
    for (const end of [stream, pod]) {
      this.#forwards.add(end);
      end.on("error", () => end.destroy());
    }
    for (const opening of opened) stream.write(opening);
    pod.on("data", (chunk) => stream.write(frame(0, chunk)));
    pod.on("close", () => stream.destroy());
    stream.on("close", () => pod.destroy());
    let pending = Buffer.alloc(0);
    stream.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      for (let message = unframed(pending); message !== undefined; message = unframed(pending)) {
        pending = pending.subarray(message.length);
        const { opcode, payload } = message;
        if (opcode === 8) stream.destroy();
        else if (opcode === 2 && payload[0] === 0) pod.write(payload.subarray(1));
      }
    });
  }

  static async start(uid: string): Promise<KubernetesApi> {
    const authority = await Authority.create("kubernetes");
    const pair = await authority.leaf({ dnsNames: ["localhost"], usages: ["server auth"] });
    const api = new KubernetesApi(uid, authority.root, pair);
    await new Promise<void>((resolve) => api.#server.listen(0, "localhost", resolve));
    return api;
  }

  /** From now on every namespace has this ready pod; a port-forward to it reaches this loopback port. */
  pod(port: number): void {
    this.#podPort = port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#forwards) socket.destroy();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  hold(...objects: readonly StoredObject[]): void {
    for (const object of objects) this.answers.set(pathOf(object), { apiVersion: "v1", ...object });
  }

  /** The objects that it was given and still holds, as `Kind name`, sorted. */
  get held(): string[] {
    return this.#stored("")
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
      .sort();
  }

  secret(namespace: string, name: string, entries: Readonly<Record<string, string>>): void {
    const data = Object.entries(entries).map(([key, value]) => [key, Buffer.from(value).toString("base64")] as const);
    this.hold({ kind: "Secret", metadata: { namespace, name }, data: Object.fromEntries(data) });
  }

  configMap(namespace: string, name: string, data: Readonly<Record<string, string>>): void {
    this.hold({ kind: "ConfigMap", metadata: { namespace, name }, data });
  }

  /** A kubeconfig as text, whose only context is called `here`. */
  get kubeconfig(): string {
    return kubeconfigFor((this.#server.address() as AddressInfo).port, this.#root);
  }
}

const resources = [
  { name: "namespaces", kind: "Namespace", namespaced: false },
  { name: "configmaps", kind: "ConfigMap", namespaced: true },
  { name: "secrets", kind: "Secret", namespaced: true },
];

function pathOf({ kind, metadata: { name, namespace } }: StoredObject): string {
  return `${namespace === undefined ? "" : `namespaces/${namespace}/`}${kind.toLowerCase()}s/${name}`;
}

/** `a=b` and `a in (b,c)`, joined by commas. */
function selects(selector: string, { metadata: { labels = {} } }: StoredObject): boolean {
  return [...selector.matchAll(/(\w+)(?:=([\w-]+)| in \(([\w,-]+)\))/g)].every(([, key = "", one, several]) =>
    (one === undefined ? (several ?? "").split(",") : [one]).includes(labels[key] ?? ""),
  );
}

/** A list filtered by a label selector; labels by equality, or just by key. */
function selected(answer: object | number, selector: string | null): object | number {
  if (typeof answer === "number" || selector === null) return answer;
  const { items } = answer as { items?: readonly { metadata?: { labels?: Record<string, string> } }[] };
  if (items === undefined) return answer;
  const [key = "", value] = selector.split("=");
  const matching = items.filter(({ metadata }) => {
    const label = metadata?.labels?.[key];
    return value === undefined ? label !== undefined : label === value;
  });
  return { ...answer, items: matching };
}

/** An unmasked binary message, as a server sends it. */
function frame(channel: number, data: Buffer): Buffer {
  const length = data.length + 1;
  const header = Buffer.alloc(length < 126 ? 2 : 10);
  header[0] = 0x82;
  header[1] = length < 126 ? length : 127;
  if (length >= 126) header.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([header, Buffer.of(channel), data]);
}

/** The first complete message of what a client has sent, masked; undefined while incomplete. */
function unframed(bytes: Buffer): { opcode: number; payload: Buffer; length: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes[1]! & 0x7f;
  const start = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < start + 4) return undefined;
  const size = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  const length = start + 4 + size;
  if (bytes.length < length) return undefined;
  const mask = bytes.subarray(start, start + 4);
  const payload = Buffer.from(bytes.subarray(start + 4, length).map((byte, index) => byte ^ mask[index % 4]!));
  return { opcode: bytes[0]! & 0x0f, payload, length };
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

/** The product's own cluster, except for port-forwards: its pods listen on loopback. */
export class LoopbackCluster extends Cluster {
  /** Limits short enough for a test. */
  timeLimits = { changing: { deadline: 3_000 }, reading: { deadline: 3_000, unanswered: 3_000 } };

  override connect({ port, serverName }: PodPort, client: ClientTls): Promise<TLSSocket> {
    return handshake({ host: "127.0.0.1", port }, serverName, client);
  }
}
