// A Kubernetes API server that lists and watches single Secrets, with rights by name and every way to fail.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { KeyPair } from "../../cluster-access/certificates.ts";
import { Authority } from "../support/authorities.ts";

interface Stored {
  readonly version: number;
  readonly data: Readonly<Record<string, string>>;
}

export class SecretsApi {
  /** A pod's service account folder. */
  readonly account = mkdtempSync(join(tmpdir(), "account-"));
  /** Secrets, as `<namespace>/<name>`, that the account may list and watch. */
  readonly granted = new Set<string>();
  /** Requests so far, such as `list mtls/gateway`. */
  readonly requests: string[] = [];
  /** Delay before each response, in milliseconds. */
  delay = 0;
  /** Tells each watch that its version is too old, by event or by response status. */
  gone: "event" | "status" | undefined;
  /** Accepts requests and never answers them. */
  silent = false;
  /** Connections so far. */
  connections = 0;
  token = "token-1";
  port = 0;
  readonly #pair: KeyPair;
  readonly #secrets = new Map<string, Stored>();
  readonly #watchers = new Map<ServerResponse, string>();
  #version = 100;
  #server: Server | undefined;

  private constructor(root: string, pair: KeyPair) {
    this.#pair = pair;
    writeFileSync(join(this.account, "ca.crt"), root);
    this.issueToken(this.token);
  }

  static async start(): Promise<SecretsApi> {
    const authority = await Authority.create("kubernetes");
    const pair = await authority.leaf({ dnsNames: ["localhost"], usages: ["server auth"] });
    const api = new SecretsApi(authority.root, pair);
    await api.up();
    return api;
  }

  /** From now on accepts only this token, and writes it to the account's file. */
  issueToken(token: string): void {
    this.token = token;
    writeFileSync(join(this.account, "token"), token);
  }

  /** Comes back on the same port. */
  async up(): Promise<void> {
    const server = createServer(this.#pair, (request, response) => void this.#answer(request, response));
    server.on("connection", () => (this.connections += 1));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, "localhost", resolve));
    this.port = (server.address() as AddressInfo).port;
  }

  /** Goes down, with every connection. */
  async down(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
    this.#watchers.clear();
  }

  /** Breaks every connection, as something in between may. */
  cut(): void {
    this.#server?.closeAllConnections();
    this.#watchers.clear();
  }

  async stop(): Promise<void> {
    await this.down();
    rmSync(this.account, { recursive: true });
  }

  /** Ends the open watches, as a server does when their time is up. */
  endWatches(): void {
    for (const response of this.#watchers.keys()) response.end();
    this.#watchers.clear();
  }

  get watching(): number {
    return this.#watchers.size;
  }

  /** Writes a Secret, without granting access to it. If unheard, watches are not told, as if they lagged. */
  put(name: string, entries: Readonly<Record<string, string>>, heard = true): void {
    const encoded = Object.entries(entries).map(([key, value]) => [key, Buffer.from(value).toString("base64")]);
    const type = this.#secrets.has(name) ? "MODIFIED" : "ADDED";
    this.#secrets.set(name, {
      version: (this.#version += 1),
      data: Object.fromEntries(encoded) as Record<string, string>,
    });
    if (heard) this.#tell(name, type);
  }

  pair(name: string, { cert, key }: KeyPair, heard = true): void {
    this.put(name, { "tls.crt": cert, "tls.key": key, "ca.crt": cert }, heard);
  }

  delete(name: string): void {
    this.#tell(name, "DELETED");
    this.#secrets.delete(name);
    this.#version += 1;
  }

  #tell(name: string, type: string): void {
    for (const [response, watched] of this.#watchers)
      if (watched === name) response.write(`${JSON.stringify({ type, object: this.#object(name) })}\n`);
  }

  #object(name: string): object {
    const [namespace, plain] = name.split("/");
    const { version, data } = this.#secrets.get(name)!;
    return { kind: "Secret", metadata: { namespace, name: plain, resourceVersion: String(version) }, data };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "https://localhost");
    const [, namespace] = /^\/api\/v1\/namespaces\/([^/]+)\/secrets$/.exec(url.pathname) ?? [];
    const [, plain] = /^metadata\.name=(.+)$/.exec(url.searchParams.get("fieldSelector") ?? "") ?? [];
    const name = `${namespace}/${plain}`;
    const watch = url.searchParams.get("watch") === "1";
    this.requests.push(`${watch ? "watch" : "list"} ${name}`);
    if (this.silent) return;
    await sleep(this.delay);
    const fail = (code: number) =>
      response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify({ kind: "Status", code }));
    if (request.headers.authorization !== `Bearer ${this.token}`) return void fail(401);
    // As in RBAC: rights by name apply to a list only if the field selector names that object.
    if (!this.granted.has(name)) return void fail(403);
    if (!watch) return void response.end(JSON.stringify(this.#list(name)));
    if (this.gone === "status") return void fail(410);
    response.writeHead(200, { "content-type": "application/json" }).flushHeaders();
    if (this.gone === "event") {
      return void response.end(`${JSON.stringify({ type: "ERROR", object: { kind: "Status", code: 410 } })}\n`);
    }
    this.#watchers.set(response, name);
    response.on("close", () => this.#watchers.delete(response));
    response.write(`${JSON.stringify({ type: "BOOKMARK", object: { metadata: { resourceVersion: "1" } } })}\n`);
    const missed = this.#secrets.get(name)?.version ?? 0;
    if (missed > Number(url.searchParams.get("resourceVersion"))) this.#tell(name, "MODIFIED");
  }

  #list(name: string): object {
    const items = this.#secrets.has(name) ? [this.#object(name)] : [];
    return { kind: "SecretList", metadata: { resourceVersion: String(this.#version) }, items };
  }
}
