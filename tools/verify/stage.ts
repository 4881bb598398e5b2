// Servers staged behind the gateway: it verifies them as it does any upstream, and each is wrong in one thing.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import type { KeyPair } from "@mtls-everywhere/cluster-access";
import type { Plane } from "@mtls-everywhere/vocabulary/planes";

import type { PlatformOutputs } from "../../outputs.ts";
import type { LeafKind } from "./leaves.ts";
import type { Material } from "./material.ts";
import { selfSignedServer } from "./selfSigned.ts";
import type { TemporaryObjects } from "./temporary.ts";

/** What a staged server shows. */
export type Shown =
  /** A leaf made for this run. */
  | { readonly kind: LeafKind; readonly plane: Plane }
  /** A certificate that nobody signed. */
  | "self-signed"
  /** The platform's own upstream's. */
  | "upstream"
  /** The same, where another name is expected. */
  | "upstream of another name";

/** A route to a staged server. */
export interface Route {
  readonly path: string;
  /** The server's name, and what it shows there if the gateway itself plays it. */
  readonly server: { readonly name: string; readonly pair?: KeyPair };
}

/** Header that the routes add to responses: one of the platform's own routes may match the same path. */
export const mark = "x-mtls-everywhere-verify";

/** When a write is live in each of a gateway's workers, in milliseconds: half of them after 14, the slowest seen after 61. */
const liveAfter = 500;

/**
 * The gateway plays the server itself, with a temporary certificate: a route leads back to its own port, under a name that nothing
 * else has. Unless it refuses that server, it answers that it has no route for the name.
 */
export class Stage {
  readonly id: string;
  readonly #outputs: PlatformOutputs;
  readonly #material: Material;
  readonly #temporary: TemporaryObjects;
  readonly #routes = new Map<string, Promise<Route>>();
  readonly #presented = new Map<string, Promise<string>>();

  constructor(outputs: PlatformOutputs, material: Material, temporary: TemporaryObjects) {
    [this.#outputs, this.#material, this.#temporary] = [outputs, material, temporary];
    this.id = temporary.id;
  }

  /** The route to a server that shows this; live in every gateway pod. */
  route(shown: Shown): Promise<Route> {
    const name = typeof shown === "string" ? shown.replaceAll(" ", "-") : `${shown.plane}-${shown.kind}`;
    const known = this.#routes.get(name);
    if (known) return known;
    const route = this.#put(name, shown);
    this.#routes.set(name, route);
    return route;
  }

  async #put(name: string, shown: Shown): Promise<Route> {
    const { gateway, upstream } = this.#outputs;
    const server = await this.#server(shown);
    if (server.pair) {
      // Only who presents an upstream leaf gets as far as a request.
      const client = { ca: this.#material.roots.upstream, depth: 1 };
      await this.#temporary.put("ssls", name, { snis: [server.name], ...server.pair, client });
    }
    const node = server.pair ? `127.0.0.1:${gateway.port}` : `${upstream.node.host}:${upstream.node.port}`;
    const path = `/.verify/${this.id}/${name}`;
    await this.#temporary.put("routes", name, {
      uri: path,
      hosts: [new URL(gateway.url).hostname],
      plugins: { "response-rewrite": { headers: { set: { [mark]: this.id } } } },
      upstream: {
        ...{ type: "roundrobin", scheme: "https", nodes: { [node]: 1 } },
        ...{ pass_host: "rewrite", upstream_host: server.name },
        tls: { client_cert_id: await this.#present(server.pair ? "run" : "platform") },
      },
    });
    await sleep(liveAfter);
    return { path, server };
  }

  async #server(shown: Shown): Promise<Route["server"]> {
    const { leaves } = this.#material;
    if (shown === "upstream") return { name: this.#outputs.upstream.serverName };
    // A name never used before, so that no pooled connection can answer for it.
    if (shown === "upstream of another name") return { name: `${this.id}.invalid` };
    if (shown !== "self-signed") {
      return { name: leaves.nameOf(shown.kind, shown.plane), pair: await leaves.of(shown.kind, shown.plane) };
    }
    const name = `${this.id}-self-signed.invalid`;
    return { name, pair: await selfSignedServer(name) };
  }

  /** Id of the object with what the gateway presents: its own leaf, or to itself one that was made for this run. */
  async #present(whose: "platform" | "run"): Promise<string> {
    const { own, leaves } = this.#material;
    const put = async () => {
      const { cert, key } = whose === "platform" ? own.upstream : await leaves.of("client", "upstream");
      return this.#temporary.put("ssls", `presented-${whose}`, { type: "client", cert, key });
    };
    const id = this.#presented.get(whose) ?? put();
    this.#presented.set(whose, id);
    return id;
  }
}

/** A name for one run, random so that parallel runs do not collide. */
export function runName(): string {
  return `verify-${randomBytes(4).toString("hex")}`;
}
