// A Kubernetes API server that knows Secrets, by list and watch of one name: with rights by name, and with every way to fail.

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
  /** The folder of a pod's service account. */
  readonly account = mkdtempSync(join(tmpdir(), "account-"));
  /** Names, `<namespace>/<name>`, that the account may list and watch. */
  readonly granted = new Set<string>();
  /** What was asked, such as `list mtls/gateway`. */
  readonly requests: string[] = [];
  /** Milliseconds before each answer. */
  delay = 0;
  /** Each watch is told that its version is too old, by an event or by the answer's status. */
  gone: "event" | "status" | undefined;
  /** Requests are taken and never answered. */
  silent = false;
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

  /** From now on only this token is accepted; the account's file has it. */
  issueToken(token: string): void {
    this.token = token;
    writeFileSync(join(this.account, "token"), token);
  }

  /** Comes back where it was. */
  async up(): Promise<void> {
    const server = createServer(this.#pair, (request, response) => void this.#answer(request, response));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, "localhost", resolve));
    this.port = (server.address() as AddressInfo).port;
  }

  /** Goes away, and takes every connection along. */
  async down(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
    this.#watchers.clear();
  }

  /** Breaks every connection, as something between them may. */
  cut(): void {
    this.#server?.closeAllConnections();
    this.#watchers.clear();
  }

  async stop(): Promise<void> {
    await this.down();
    rmSync(this.account, { recursive: true });
  }

  /** Ends the watches that are open, as a server does when their time is over. */
  endWatches(): void {
    for (const response of this.#watchers.keys()) response.end();
    this.#watchers.clear();
  }

  get watching(): number {
    return this.#watchers.size;
  }

  /** Writes a Secret; what its owner grants comes apart. Unheard, a watch tells nobody: it lags. */
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
    // As RBAC has it: rights by name hold for a list only where the field selector names that one.
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
