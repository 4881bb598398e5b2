// One HTTP request over one fresh TLS connection: what a bare client of the platform experiences.

import http, { type IncomingHttpHeaders } from "node:http";
import type { TLSSocket } from "node:tls";

import type { PodPort, SecretKeyRef, SecretRef, ConfigMapKeyRef } from "@mtls-everywhere/apisix-admin";
import type { ClientTls, KeyPair } from "@mtls-everywhere/apisix-admin/access";

import type { Observation } from "./check.ts";

/** What the checks need of a cluster; `Cluster` of apisix-admin has it all. */
export interface Access {
  expect(clusterUid: string): Promise<void>;
  connect(to: PodPort, client: ClientTls, signal?: AbortSignal): Promise<TLSSocket>;
  keyPair(ref: SecretRef): Promise<KeyPair>;
  secretValue(ref: SecretKeyRef): Promise<string>;
  trustBundle(ref: ConfigMapKeyRef): Promise<string>;
}

export interface Request {
  /** GET, or POST when there is a body, unless given. */
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Sends the request to a pod's port. Rejects with the error of the handshake, or of the alert that follows it. */
export async function ask(
  access: Access,
  to: PodPort,
  client: ClientTls,
  request: Request,
  signal: AbortSignal,
): Promise<Answer> {
  const socket = await access.connect(to, client, signal);
  // With TLS 1.3 the client's side is done before the server has looked at the client's certificate: a refusal
  // arrives as an error of the request. Errors after the answer matter to nobody.
  socket.on("error", () => undefined);
  try {
    return await exchange(socket, to.serverName, request, signal);
  } finally {
    socket.destroy();
  }
}

/** Like `ask`, with the answer as an observation. */
export async function observe(...question: Parameters<typeof ask>): Promise<Observation> {
  return observed(await ask(...question));
}

/** An answer as an observation; a refusal is told by the server's own words. */
export function observed({ status, body }: Omit<Answer, "headers">): Observation {
  return { kind: "answer", status, words: status < 400 ? "" : words(body).replace(`${status} `, ""), body };
}

function exchange(socket: TLSSocket, host: string, request: Request, signal: AbortSignal): Promise<Answer> {
  const body = request.body === undefined ? undefined : JSON.stringify(request.body);
  return new Promise((resolve, reject) => {
    const outgoing = http.request({
      createConnection: () => socket,
      method: request.method ?? (body === undefined ? "GET" : "POST"),
      path: request.path,
      headers: {
        host,
        ...(body === undefined
          ? {}
          : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) }),
        ...request.headers,
      },
      signal,
    });
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString("utf8"),
        }),
      );
    });
    outgoing.end(body);
  });
}

/** The sentence in an error's body: APISIX and etcd answer JSON, nginx a page whose title starts with the status. */
function words(body: string): string {
  const title = /<title>(.*?)<\/title>/s.exec(body)?.[1];
  if (title !== undefined) return title.trim();
  try {
    const { error_msg, description, message, error } = JSON.parse(body) as Record<string, unknown>;
    const said = description ?? error_msg ?? message ?? error;
    if (typeof said === "string") return said;
  } catch {
    // Plain text.
  }
  return body.trim().split("\n")[0]?.trim() ?? "";
}
