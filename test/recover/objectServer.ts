// An API server on loopback that holds what it is given: reads, deletes, and lists of Secrets by label, which is all that recover asks for.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export interface StoredObject {
  readonly kind: "Namespace" | "ConfigMap" | "Secret";
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

export class ObjectServer {
  readonly #objects = new Map<string, StoredObject | { readonly metadata: { readonly uid: string } }>();
  readonly #server: Server;

  private constructor(uid: string) {
    this.#objects.set("/api/v1/namespaces/kube-system", { metadata: { uid } });
    this.#server = createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? "", "http://localhost");
      const answer = this.#answer(pathname, searchParams.get("labelSelector"));
      if (request.method === "DELETE") this.#objects.delete(pathname);
      response.writeHead(answer ? 200 : 404, { "content-type": "application/json" });
      response.end(JSON.stringify(answer ?? { kind: "Status", code: 404 }));
    });
  }

  static async start(uid: string): Promise<ObjectServer> {
    const server = new ObjectServer(uid);
    await new Promise<void>((listening) => server.#server.listen(0, "127.0.0.1", listening));
    return server;
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((closed) => this.#server.close(() => closed()));
  }

  hold(...objects: readonly StoredObject[]): void {
    for (const object of objects) this.#objects.set(pathOf(object), { ...object, ...{ apiVersion: "v1" } });
  }

  /** `Kind name` of what it was given and still holds, sorted. */
  get held(): string[] {
    return [...this.#objects.values()]
      .flatMap((object) => ("kind" in object ? [`${object.kind} ${object.metadata.name}`] : []))
      .sort();
  }

  get kubeconfig(): string {
    const server = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return JSON.stringify({
      clusters: [{ cluster: { server, "insecure-skip-tls-verify": true } }],
      users: [{ user: {} }],
    });
  }

  #answer(path: string, selector: string | null): object | undefined {
    if (path === "/api/v1") return { kind: "APIResourceList", groupVersion: "v1", resources };
    if (!path.endsWith("/secrets")) return this.#objects.get(path);
    const items = [...this.#objects].flatMap(([place, object]) =>
      place.startsWith(`${path}/`) && "kind" in object && selects(selector ?? "", object) ? [object] : [],
    );
    return { kind: "SecretList", items };
  }
}

const resources = [
  { name: "namespaces", kind: "Namespace", namespaced: false },
  { name: "configmaps", kind: "ConfigMap", namespaced: true },
  { name: "secrets", kind: "Secret", namespaced: true },
];

function pathOf({ kind, metadata: { name, namespace } }: StoredObject): string {
  const plural = `${kind.toLowerCase()}s`;
  return `/api/v1/${namespace === undefined ? "" : `namespaces/${namespace}/`}${plural}/${name}`;
}

/** `a=b` and `a in (b,c)`, joined by commas. */
function selects(selector: string, { metadata: { labels = {} } }: StoredObject): boolean {
  return [...selector.matchAll(/(\w+)(?:=([\w-]+)| in \(([\w,-]+)\))/g)].every(([, key = "", one, several]) =>
    (one === undefined ? (several ?? "").split(",") : [one]).includes(labels[key] ?? ""),
  );
}
