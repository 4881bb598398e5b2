// One Secret of the Kubernetes API at a time: a list and a watch by name, which is all that its rights allow.

import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { join } from "node:path";

import type { SecretRef } from "@mtls-everywhere/vocabulary/references";

/** The part of a Secret that matters. */
export interface Secret {
  readonly data?: Readonly<Record<string, string>>;
}

/** An answer of the API server other than success. */
export class ApiStatus extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Limits in milliseconds. */
export interface Limits {
  /** For the start of an answer; the rest of a list may take as long again. Default 15,000. */
  readonly answer?: number;
  /** For the length of a watch. Default 120,000. */
  readonly watch?: number;
}

export class KubernetesApi {
  readonly #host: string;
  readonly #port: number;
  readonly #folder: string;
  readonly #limits: Required<Limits>;
  readonly #agent = new Agent({ keepAlive: true });

  /** `folder` holds the service account's `token` and the API server's `ca.crt`, read again for each request: both change. */
  constructor(host: string, port: number, folder: string, limits: Limits = {}) {
    this.#host = host;
    this.#port = port;
    this.#folder = folder;
    this.#limits = { answer: 15_000, watch: 120_000, ...limits };
  }

  /** The Secret as it is now, undefined when there is none, and the version for a watch to start from. */
  async get(ref: SecretRef, stop: AbortSignal): Promise<{ secret: Secret | undefined; version: string }> {
    const answer = await this.#open(ref, {}, AbortSignal.any([stop, AbortSignal.timeout(2 * this.#limits.answer)]));
    let text = "";
    for await (const chunk of answer) text += String(chunk);
    const list = JSON.parse(text) as { items?: readonly Secret[]; metadata?: { resourceVersion?: string } };
    return { secret: list.items?.[0], version: list.metadata?.resourceVersion ?? "" };
  }

  /**
   * Reports each change after `version`, undefined for a deletion. Ends after about two minutes: listing again then gets
   * rid of a connection that has gone silent, and catches a change that was missed.
   */
  async watch(
    ref: SecretRef,
    version: string,
    onChange: (secret: Secret | undefined) => void,
    stop: AbortSignal,
  ): Promise<void> {
    // Spread out: the watches of a hundred Secrets start together.
    const time = Math.round(this.#limits.watch * (0.8 + 0.4 * Math.random()));
    const query = { watch: "1", resourceVersion: version, timeoutSeconds: String(Math.ceil(time / 1_000)) };
    const answer = await this.#open(ref, query, AbortSignal.any([stop, AbortSignal.timeout(time + 5_000)]));
    let pending = "";
    answer.setEncoding("utf8");
    for await (const chunk of answer) {
      const lines = (pending + String(chunk)).split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines.filter((one) => one !== "")) {
        const { type, object } = JSON.parse(line) as { type: string; object: Secret & { code?: number } };
        if (type === "ERROR") throw new ApiStatus(object.code ?? 500, "the watch was ended by the API server");
        if (type === "ADDED" || type === "MODIFIED") onChange(object);
        if (type === "DELETED") onChange(undefined);
      }
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  /** The successful answer to a request for the Secret by its name. The signal ends the body too. */
  async #open(ref: SecretRef, query: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
    const [token, ca] = await Promise.all(
      ["token", "ca.crt"].map((file) => readFile(join(this.#folder, file), "utf8")),
    );
    // A request that is aborted before it starts opens its connection all the same, and leaves it with the agent.
    signal.throwIfAborted();
    const parameters = new URLSearchParams({ fieldSelector: `metadata.name=${ref.name}`, ...query });
    const path = `/api/v1/namespaces/${encodeURIComponent(ref.namespace)}/secrets?${parameters.toString()}`;
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { authorization: `Bearer ${token!.trim()}`, accept: "application/json" };
      const options = { host: this.#host, port: this.#port, path, ca, headers, agent: this.#agent, signal };
      const outgoing = request(options, resolve).on("error", reject);
      const timer = setTimeout(
        () => outgoing.destroy(new Error(`no answer within ${this.#limits.answer / 1_000} s`)),
        this.#limits.answer,
      );
      outgoing.once("response", () => clearTimeout(timer)).once("close", () => clearTimeout(timer));
      // A peer that vanishes is noticed within half a minute.
      outgoing.on("socket", (socket) => socket.setKeepAlive(true, 15_000));
      outgoing.end();
    });
    if (answer.statusCode === 200) return answer;
    answer.resume();
    throw new ApiStatus(answer.statusCode ?? 0, `HTTP ${answer.statusCode}`);
  }
}
