// The Admin API: objects by kind and id, with the server's refusals turned into sentences.

import {
  AdminError,
  type Answer,
  type Connect,
  type TimeLimits,
  persistently,
  saidIn,
  Transport,
  Unavailable,
} from "@mtls-everywhere/cluster-access";

import type { Body } from "./body.ts";
import type { KindName } from "./kinds/registry.ts";

export interface AdminClientOptions extends TimeLimits {
  readonly connect: Connect;
  /** The Admin API key. */
  readonly key: string;
  /** Host header. Defaults to `apisix-admin`; the server does not look at it. */
  readonly host?: string;
}

/** Kinds that can be listed: unmanaged ones may refer to managed ones, and hold secrets as well. */
export type ListedKind = KindName | "services" | "consumers" | "consumer_groups" | "plugin_configs" | "plugin_metadata";

/** Paths that can be listed; a consumer's credentials are below it. */
export type ListedPath = ListedKind | `consumers/${string}/credentials`;

/** A client of one Admin API. All methods throw `AdminError` for what the server refuses, and retry transient failures. */
export class AdminClient {
  readonly #options: AdminClientOptions;
  readonly #transport: Transport;

  constructor(options: AdminClientOptions) {
    this.#options = options;
    this.#transport = new Transport(options.connect);
  }

  /** The object without its keys, or undefined when there is none. */
  async get(kind: KindName, id: string, limits: TimeLimits = {}): Promise<Body | undefined> {
    const answer = await this.#send("GET", kind, id, undefined, limits);
    return answer.status === 404 ? undefined : (parse(answer)["value"] as Body);
  }

  async list(path: ListedPath, limits: TimeLimits = {}): Promise<readonly Body[]> {
    const answer = await this.#send("GET", path, "", undefined, limits);
    // A page without items is `{}`; a kind that has lost its folder in etcd is not found.
    const { list } = answer.status === 404 ? {} : parse(answer);
    return Array.isArray(list) ? list.map((entry: Body) => entry["value"] as Body) : [];
  }

  /** Creates or replaces the object. */
  async put(kind: KindName, id: string, body: Body): Promise<void> {
    await this.#send("PUT", kind, id, body);
  }

  /** Merges the fields into the object on the server, which keeps all others. A concurrent write makes it try again. */
  async patch(kind: KindName, id: string, body: Body): Promise<void> {
    const answer = await this.#send("PATCH", kind, id, body);
    if (answer.status === 404) throw refusalOf(answer, `${kind}/${id}`);
  }

  /** False when there was none. Throws when another object refers to it, in the server's words. */
  async delete(kind: KindName, id: string): Promise<boolean> {
    return (await this.#send("DELETE", kind, id)).status !== 404;
  }

  /** What the server's JSON schema objects to in a body, or undefined. Saves nothing. */
  async validate(kind: KindName, body: Body, limits: TimeLimits = {}): Promise<string | undefined> {
    try {
      await this.#send("POST", `schema/validate/${kind}`, "", body, limits);
      return undefined;
    } catch (error) {
      if (error instanceof AdminError && error.status === 400 && error.said) return error.said;
      throw error;
    }
  }

  /** Closes the pooled connections. */
  close(): void {
    this.#transport.close();
  }

  async #send(method: string, kind: string, id: string, body?: Body, limits: TimeLimits = {}): Promise<Answer> {
    const object = id ? `${kind}/${id}` : kind;
    const path = `/apisix/admin/${kind}${id && `/${encodeURIComponent(id)}`}`;
    const headers = { host: this.#options.host ?? "apisix-admin", "x-api-key": this.#options.key };
    return persistently(`${method} ${object}`, { ...this.#options, ...limits }, async (signal) => {
      const answer = await this.#transport.send({ method, path, headers, body }, signal);
      if (answer.status < 300 || (answer.status === 404 && method !== "POST")) return answer;
      throw refusalOf(answer, object);
    });
  }
}

/** The error that an answer stands for. */
export function refusalOf(answer: Pick<Answer, "status" | "text">, object: string): Error {
  const page = pages.find(({ title }) => answer.text.includes(title));
  if (page) return new AdminError(answer.status, object, page.reason, page.hint);
  const said = wordsOf(answer.text);
  if (answer.status === 503 && !said.includes("request is too large"))
    return new Unavailable(`${object}: ${said || "not available"} (HTTP 503)`);
  // The server could not look up what the object refers to. When that is not there, it says `response code: 404`.
  if (/^failed to fetch .*\]: /.test(said)) return new Unavailable(`${object}: ${said} (HTTP ${answer.status})`);
  if (answer.status === 502 || answer.status === 504) return new Unavailable(`${object}: HTTP ${answer.status}`);
  return new AdminError(answer.status, object, said || "refused without a reason", hintFor(answer.status, said), said);
}

/** On this port, failed client authentication is an HTML page, not a TLS alert. */
const pages = [
  {
    title: "No required SSL certificate was sent",
    reason: "the Admin API requires a client certificate and none was sent",
    hint: "Check the Secret in admin.certificate.",
  },
  {
    title: "The SSL certificate error",
    reason: "the Admin API refused the client certificate",
    hint: "It comes from another authority, has expired, or is not for client authentication. Check that the Secret in admin.certificate was issued by the admin plane.",
  },
  {
    title: "The plain HTTP request was sent to HTTPS port",
    reason: "the request did not arrive over TLS",
    hint: "Check the port in admin.",
  },
];

function hintFor(status: number, said: string): string {
  if (said.includes("role viewer")) return "The key may only read: use a key with the role admin.";
  if (status === 401) return "The Secret in admin.key does not hold the key that the gateway uses.";
  if (said.includes("is still using it")) return "Delete that one first, or let it use another.";
  if (/^failed to fetch .* response code: 404$/.test(said))
    return "Create the object that it refers to first, and pass its id as an output.";
  return "";
}

function wordsOf(text: string): string {
  const { message, description } = saidIn(text);
  return [message, description].filter((part) => part !== undefined).join(": ");
}

function parse(answer: Answer): Body {
  return JSON.parse(answer.text) as Body;
}
