// Objects that the checks put into APISIX for a moment, and their removal, come what may.

import { randomBytes } from "node:crypto";

import type { AdminEndpoint } from "@mtls-everywhere/apisix-admin";
import type { ClientTls } from "@mtls-everywhere/apisix-admin/access";

import { leftoverAge, temporaryLabel } from "./certificates.ts";
import { type Access, type Answer, ask, observed } from "./http.ts";
import { observedText } from "./check.ts";

/** Kinds in the order in which they can be removed: a route holds on to its certificate. */
const kinds = ["routes", "ssls"] as const;
type Kind = (typeof kinds)[number];

/** A write is finished even when the run is interrupted: what is half done could not be undone. */
const writeWithin = 10_000;

export class TemporaryObjects {
  /** Random, so that runs side by side do not meet. */
  readonly id = `verify-${randomBytes(4).toString("hex")}`;
  readonly #call: (method: string, path: string, body?: unknown) => Promise<Answer>;
  readonly #paths: Record<Kind, string[]> = { routes: [], ssls: [] };
  readonly #writes: Promise<unknown>[] = [];
  #closed = false;

  constructor(access: Access, admin: AdminEndpoint, client: ClientTls, key: string) {
    this.#call = (method, path, body) =>
      ask(
        access,
        admin,
        client,
        { method, path: `/apisix/admin/${path}`, headers: { "x-api-key": key }, body },
        AbortSignal.timeout(writeWithin),
      );
  }

  /** Creates an object and gives its id. */
  async put(kind: Kind, name: string, spec: object): Promise<string> {
    if (this.#closed) throw new Error("the run is over");
    const id = `${this.id}-${name}`;
    this.#paths[kind].push(`${kind}/${id}`);
    const write = this.#call("PUT", `${kind}/${id}`, {
      ...spec,
      labels: { [temporaryLabel]: new Date().toISOString() },
    });
    this.#writes.push(write);
    const answer = await write;
    if (answer.status >= 300) {
      throw new Error(`the Admin API refused the temporary ${kind.slice(0, -1)}: ${observedText(observed(answer))}`);
    }
    return id;
  }

  /** Removes this run's objects. */
  async remove(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#writes);
    await this.#delete(this.#paths);
  }

  /** Removes the objects of runs that were killed. */
  async removeLeftovers(): Promise<void> {
    const lists = kinds.map(async (kind) => {
      const { status, body } = await this.#call("GET", kind);
      if (status !== 200) return [kind, []] as const;
      // An empty list may come as an object: Lua does not tell the two apart.
      const items = Object.values((JSON.parse(body) as { list?: Record<string, Stored> }).list ?? {});
      const old = items.filter(
        ({ value }) => Date.now() - Date.parse(value.labels?.[temporaryLabel] ?? "") > leftoverAge,
      );
      return [kind, old.map(({ value }) => `${kind}/${value.id}`)] as const;
    });
    await this.#delete(Object.fromEntries(await Promise.all(lists)) as Record<Kind, string[]>);
  }

  async #delete(paths: Record<Kind, readonly string[]>): Promise<void> {
    for (const kind of kinds) {
      await Promise.all(
        paths[kind].map(async (path) => {
          const answer = await this.#call("DELETE", path);
          if (answer.status >= 300 && answer.status !== 404) {
            throw new Error(`The Admin API keeps the temporary ${path}: ${observedText(observed(answer))}`);
          }
        }),
      );
    }
  }
}

interface Stored {
  readonly value: { readonly id: string; readonly labels?: Readonly<Record<string, string>> };
}
