// HTTP over TLS connections that somebody else opens: a small pool, and patience with servers that restart.

import { Agent, request } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";

import { Transient } from "./errors.ts";

/** Opens a verified TLS connection; gives up when the signal aborts. */
export type Connect = (signal: AbortSignal) => Promise<TLSSocket>;

export interface Patience {
  /** How long to go on trying, in milliseconds. Defaults to 60,000. */
  readonly deadline?: number;
  /** Ends the waiting before that. */
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** A pool of keep-alive connections to one server. APISIX closes each after 1,000 requests; the next request opens a new one. */
export class Transport {
  readonly #agent: Agent;

  constructor(connect: Connect, connections = 8) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections, scheduling: "lifo" });
    this.#agent.createConnection = (_options, done) => {
      // A limit for the opening only: a connection outlives the request that it was opened for.
      const limit = new AbortController();
      const timer = setTimeout(() => limit.abort(new Transient("no connection within 15 s")), 15_000);
      const opening = connect(limit.signal).finally(() => clearTimeout(timer));
      opening.then(
        (socket) => done?.(null, socket),
        (error: Error) => done?.(error, undefined as unknown as Duplex),
      );
      return undefined;
    };
  }

  /** One try. Rejects when the connection fails, not for any HTTP status. */
  send(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: unknown,
    signal: AbortSignal,
  ): Promise<Answer> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const length =
        text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
      const outgoing = request(
        { agent: this.#agent, method, path, headers: { ...headers, ...length }, signal },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
          incoming.on("error", reject);
          incoming.on("end", () =>
            resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
          );
        },
      );
      outgoing.on("error", reject);
      outgoing.end(text);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Repeats what fails transiently, with growing pauses, until the deadline. The last failure is part of the final error. */
export async function persistently<T>(
  what: string,
  patience: Patience,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = patience.deadline ?? 60_000;
  const end = Date.now() + deadline;
  let last: unknown;
  for (let pause = 100; ; pause = Math.min(2 * pause, 2_000)) {
    const limit = AbortSignal.timeout(Math.max(1, end - Date.now()));
    const signal = patience.signal ? AbortSignal.any([patience.signal, limit]) : limit;
    try {
      return await attempt(signal);
    } catch (error) {
      if (patience.signal?.aborted || !(limit.aborted || isTransient(error))) throw error;
      // Being cut off at the deadline says less than the failure before it.
      last = limit.aborted ? (last ?? error) : error;
      if (limit.aborted || Date.now() + pause > end) {
        throw new Transient(
          `${what}: no success within ${deadline / 1000} s. The last failure: ${(last as Error).message}`,
          { cause: last },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
    }
  }
}

const transientCodes = new Set([
  "ECONNRESET",
  "EPIPE",
  "ECONNREFUSED",
  "ECONNABORTED",
  "ETIMEDOUT",
  "ERR_STREAM_PREMATURE_CLOSE",
]);

function isTransient(error: unknown): boolean {
  if (error instanceof Transient) return true;
  const { code, name } = error as NodeJS.ErrnoException;
  return transientCodes.has(code ?? "") || name === "TimeoutError";
}
