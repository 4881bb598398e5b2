/** Writes through the Admin API, one after another: each is read back, and none may be lost. */
import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";

import { adminClient, type AdminClient, closeSessions } from "@mtls-everywhere/apisix-admin";
import { type Access } from "@mtls-everywhere/cluster-access";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";

import { type Numbers, type Spread, spreadOf, Tally } from "./tally.ts";

export interface WriteNumbers extends Numbers {
  /** Tries beyond each write's first. */
  readonly retries: number;
  /** Seconds that a write took, retries included. */
  readonly took: Spread;
}

/** Milliseconds between writes. */
const pause = 200;
const route = "soak-writes";

export class Writes {
  readonly #access: Access;
  readonly #admin: AdminEndpoint;
  readonly #tally = new Tally();
  readonly #took: number[] = [];
  readonly #stop = new AbortController();
  #retries = 0;
  #tries = 0;
  #running: Promise<void> | undefined;

  constructor(cluster: Cluster, admin: AdminEndpoint) {
    this.#access = counting(cluster, () => (this.#tries += 1));
    this.#admin = admin;
  }

  start(host: string): void {
    this.#running = this.#run(host);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    const client = await adminClient(this.#access, this.#admin);
    await client.delete("routes", route).catch(() => undefined);
    await closeSessions(this.#access);
  }

  /** An Admin API object's current state. */
  async get(kind: "upstreams", id: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    return (await adminClient(this.#access, this.#admin)).get(kind, id);
  }

  async put(kind: "routes", id: string, body: Record<string, unknown>): Promise<void> {
    await (await adminClient(this.#access, this.#admin)).put(kind, id, body);
  }

  get numbers(): WriteNumbers {
    return { ...this.#tally.numbers, retries: this.#retries, took: spreadOf(this.#took) };
  }

  async #run(host: string): Promise<void> {
    const client = await adminClient(this.#access, this.#admin);
    for (let number = 1; !this.#stop.signal.aborted; number++) {
      const start = performance.now();
      try {
        await this.#write(client, host, String(number));
        this.#tally.done();
      } catch (error) {
        this.#tally.failed((error as Error).message);
      }
      this.#retries += Math.max(0, this.#tries - 1);
      this.#took.push((performance.now() - start) / 1000);
      await sleep(pause);
    }
  }

  async #write(client: AdminClient, host: string, number: string): Promise<void> {
    this.#tries = 0;
    await client.put("routes", route, {
      ...{ uri: "/.soak/writes", hosts: [host], labels: { soak: number } },
      upstream: { type: "roundrobin", nodes: { "127.0.0.1:9": 1 } },
    });
    const { labels } = ((await client.get("routes", route)) ?? {}) as { labels?: { soak?: string } };
    if (labels?.soak !== number) throw new Error(`lost: ${number} was written, ${labels?.soak ?? "nothing"} is there`);
  }
}

/** Counts the client's silent retries: connections that fail, and requests that are sent. */
function counting(cluster: Cluster, onTry: () => void): Access {
  const connect: Access["connect"] = async (...args) => {
    const socket = await cluster.connect(...args).catch((error: unknown) => {
      onTry();
      throw error;
    });
    return watched(socket, onTry);
  };
  return {
    connect,
    expect: (uid) => cluster.expect(uid),
    keyPair: (ref) => cluster.keyPair(ref),
    secretValue: (ref) => cluster.secretValue(ref),
    certificate: (ref) => cluster.certificate(ref),
    trustBundle: (ref) => cluster.trustBundle(ref),
    missingOf: (makers) => cluster.missingOf(makers),
    removeIssued: (ref, certificate) => cluster.removeIssued(ref, certificate),
  };
}

function watched(socket: TLSSocket, onRequest: () => void): TLSSocket {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  return Object.assign(socket, {
    write(...args: unknown[]) {
      if (String(args[0]).startsWith("PUT ")) onRequest();
      return write(...args);
    },
  });
}
