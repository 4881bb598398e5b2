// One HTTP request and its answer, over a pool of connections or over a socket that the caller opened.

import { type Agent, type IncomingHttpHeaders, request } from "node:http";
import type { TLSSocket } from "node:tls";

export interface Request {
  /** Default: GET, or POST when there is a body. */
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Rejects with the connection's own error, such as a TLS alert from the server; no HTTP status is an error. */
export function exchange(over: Agent | TLSSocket, { path, ...given }: Request, signal: AbortSignal): Promise<Answer> {
  const body = given.body === undefined ? undefined : JSON.stringify(given.body);
  const length =
    body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        ...("write" in over ? { createConnection: () => over } : { agent: over }),
        ...{ method: given.method ?? (body === undefined ? "GET" : "POST"), path, signal },
        headers: { ...length, ...given.headers },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            text: Buffer.concat(chunks).toString("utf8"),
          }),
        );
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/** What a server says in an error's body. */
export interface Said {
  /** From an nginx page, such as `400 Bad Request`. */
  readonly title?: string;
  /** From JSON, as APISIX and etcd answer. */
  readonly message?: string;
  readonly description?: string;
  /** First line of anything else. */
  readonly plain?: string;
}

/** The server's own words, and nothing of a request that it echoes. */
export function saidIn(text: string): Said {
  const title = /<title>(.*?)<\/title>/s.exec(text)?.[1];
  if (title !== undefined) return { title: title.trim() };
  try {
    const { error_msg, message, error, description } = JSON.parse(text) as Record<string, unknown>;
    const said = [error_msg, message, error].find((part) => typeof part === "string");
    return { ...(said ? { message: said } : {}), ...(typeof description === "string" ? { description } : {}) };
  } catch {
    return { plain: text.trim().split("\n")[0]?.trim() ?? "" };
  }
}
