// Follows one Secret forever: lists, watches, and starts over whatever breaks.

import { setTimeout as sleep } from "node:timers/promises";

import type { SecretRef } from "@mtls-everywhere/vocabulary/references";

import type { Found } from "./decide.ts";
import { ApiStatus, type KubernetesApi, type Secret } from "./kubernetesApi.ts";

/** What the renewer needs of a Secret. */
export interface SecretSource {
  readonly found: Found;
  /** When this state of it was first seen, by `performance.now()`. */
  readonly seen: number;
  /** Whether changes are seen as they happen. */
  readonly watching: boolean;
  /** Why not: what follows "Secret mtls/gateway" in a sentence. */
  readonly trouble: string | undefined;
  /** Reads it again. Throws when that fails. */
  refresh(): Promise<void>;
  stop(): void;
}

/** Longest pause between two attempts, in milliseconds: a grant that comes later is noticed within that time. */
const longestPause = 10_000;

export class SecretWatch implements SecretSource {
  found: Found = { kind: "unread" };
  seen = performance.now();
  watching = false;
  trouble: string | undefined;
  readonly #api: KubernetesApi;
  readonly #ref: SecretRef;
  readonly #onChange: () => void;
  readonly #stopped = new AbortController();

  /** Starts at once; calls `onChange` after every change of what is public here. */
  constructor(api: KubernetesApi, ref: SecretRef, onChange: () => void) {
    this.#api = api;
    this.#ref = ref;
    this.#onChange = onChange;
    void this.#follow();
  }

  async refresh(): Promise<void> {
    this.#take((await this.#api.get(this.#ref, this.#stopped.signal)).secret);
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stopped;
    for (let failures = 0; !signal.aborted;) {
      try {
        const { secret, version } = await this.#api.get(this.#ref, signal);
        this.#take(secret);
        this.#report(true, undefined);
        await this.#api.watch(this.#ref, version, (changed) => this.#take(changed), signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        // 410: the version is too old for the server's memory. The next list shows what was missed.
        const outdated = error instanceof ApiStatus && error.status === 410;
        // A watch that breaks is no trouble yet: the next attempt tells.
        const broken = this.watching && failures === 0;
        if (!outdated && !broken) this.#report(false, troubleOf(error as Error));
        failures += 1;
        const pause = Math.min(longestPause, 100 * 2 ** failures) * (0.75 + Math.random() / 2);
        await sleep(pause, undefined, { signal }).catch(() => {});
      }
    }
  }

  #take(secret: Secret | undefined): void {
    const found = readSecret(secret);
    if (same(found, this.found)) return;
    this.found = found;
    this.seen = performance.now();
    this.#onChange();
  }

  #report(watching: boolean, trouble: string | undefined): void {
    if (watching === this.watching && trouble === this.trouble) return;
    this.watching = watching;
    this.trouble = trouble;
    this.#onChange();
  }
}

/** What follows "Secret mtls/gateway" in a sentence. */
function troubleOf(error: Error & { code?: string }): string {
  const status = error instanceof ApiStatus ? error.status : 0;
  if (status === 403) {
    return "may not be watched. Its owner must grant it with a RenewerGrant: get, list and watch on that name for the gateway's service account.";
  }
  if (status === 401) return "cannot be watched: the API server does not accept the service account's token.";
  const { code = "", message } = error;
  return `cannot be watched: ${unreachable.has(code) ? "the API server cannot be reached" : code || message}.`;
}

/** One failure to whoever reads the log, though a server that goes away causes several of these. */
const unreachable = new Set(["ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "EPIPE", "ETIMEDOUT"]);

/** The pair in a Secret, or what is wrong with it. */
function readSecret(secret: Secret | undefined): Found {
  if (secret === undefined) return { kind: "unusable", problem: "It does not exist." };
  const entry = (key: string) => Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
  const pair = { cert: entry("tls.crt"), key: entry("tls.key") };
  const missing = [...(pair.cert ? [] : ["tls.crt"]), ...(pair.key ? [] : ["tls.key"])];
  if (missing.length > 0) return { kind: "unusable", problem: `It has no ${missing.join(" and no ")}.` };
  return { kind: "pair", pair };
}

function same(a: Found, b: Found): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
