// HTTP over TLS connections that the caller opens: a small pool, and patience with servers that restart.

import { Agent } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";

import { Transient, Unavailable } from "./errors.ts";
import { type Answer, exchange, type Request } from "./exchange.ts";

/** Opens a verified TLS connection; gives up when the signal aborts. */
export type Connect = (signal: AbortSignal) => Promise<TLSSocket>;

export interface TimeLimits {
  /** How long to keep trying, in milliseconds. Defaults to 60,000. */
  readonly deadline?: number;
  /** How long to keep trying while no server answers at all, in milliseconds. Defaults to the deadline. */
  readonly unanswered?: number;
  /** How long one attempt may take, in milliseconds: a connection gone silent must leave time for another. Defaults to 20,000. */
  readonly perAttempt?: number;
  /** What to do when time runs out: a sentence for the final error. */
  readonly advice?: string;
  /** Asked after each failure: why no other try can succeed, which ends the waiting. */
  readonly hopeless?: () => Promise<Error | undefined>;
  /** Ends the waiting before that. */
  readonly signal?: AbortSignal;
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

  /** One attempt. */
  send(request: Request, signal: AbortSignal): Promise<Answer> {
    return exchange(this.#agent, request, signal);
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Retries transient failures, with growing pauses, until the deadline. The last failure is part of the final error. */
export async function persistently<T>(
  what: string,
  limits: TimeLimits,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { deadline = 60_000, unanswered = deadline, perAttempt: longest = 20_000, advice = "", signal: stop } = limits;
  const start = Date.now();
  let limit = Math.min(unanswered, deadline);
  let last: Error | undefined;
  for (let pause = 100; ; pause = Math.min(2 * pause, 2_000)) {
    const time = Math.max(1, Math.min(longest, start + limit - Date.now()));
    const cut = AbortSignal.timeout(time);
    try {
      return await attempt(stop ? AbortSignal.any([stop, cut]) : cut);
    } catch (error) {
      if (stop?.aborted || !(cut.aborted || isTransient(error))) throw error;
      const loss = await limits.hopeless?.();
      if (loss !== undefined) throw loss;
      // Being cut off says less than the failure before it.
      last = cut.aborted ? (last ?? new Error(`no answer for ${time / 1000} s`)) : (error as Error);
      if (error instanceof Unavailable) limit = deadline;
      if (Date.now() + pause > start + limit) {
        const failure = `The last failure: ${wordsOf(last).replace(/\.?$/, ".")}`;
        throw new Transient(`${what} did not succeed within ${limit / 1000} s. ${failure}${advice && ` ${advice}`}`, {
          cause: last,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
    }
  }
}

/** Node's own words for a broken connection name a system call. */
function wordsOf({ message, code = "" }: NodeJS.ErrnoException): string {
  if (code === "ECONNREFUSED") return `the connection was refused (${message})`;
  return transientCodes.has(code) ? `the connection broke (${message})` : message;
}

const transientCodes = new Set([
  "ECONNRESET",
  "EPIPE",
  "ECONNREFUSED",
  "ECONNABORTED",
  "ETIMEDOUT",
  "ERR_STREAM_PREMATURE_CLOSE",
]);

/** Whether a failure proves nothing: another attempt may succeed. */
export function isTransient(error: unknown): boolean {
  if (error instanceof Transient) return true;
  const { code, name } = error as NodeJS.ErrnoException;
  return transientCodes.has(code ?? "") || name === "TimeoutError";
}
