// Objects that the checks put into APISIX for a moment, and their removal whatever happens.

import { AdminClient, type Body } from "@mtls-everywhere/apisix-admin";
import { type Access, connectTo } from "@mtls-everywhere/cluster-access";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";

import { leftoverAge, temporaryLabel } from "./certificates.ts";

/** Kinds in the order in which they can be removed: a route keeps its certificate in use. */
const kinds = ["routes", "ssls"] as const;
type Kind = (typeof kinds)[number];

/** A write runs to its end even if the run is interrupted: a half-done one could not be undone. Milliseconds. */
const writeWithin = 10_000;

export class TemporaryObjects {
  readonly id: string;
  readonly #client: AdminClient;
  readonly #ids: Record<Kind, string[]> = { routes: [], ssls: [] };
  readonly #begun: Promise<unknown>[] = [];
  #closed = false;

  /** `id` is the run's own: parallel runs must not collide. */
  constructor(access: Access, admin: AdminEndpoint, key: string, id: string) {
    this.id = id;
    this.#client = new AdminClient({
      ...{ connect: connectTo(access, admin), key, host: admin.serverName },
      deadline: writeWithin,
    });
  }

  /** Creates an object and returns its id. */
  async put(kind: Kind, name: string, spec: Body): Promise<string> {
    if (this.#closed) throw new Error("the run is over");
    const id = `${this.id}-${name}`;
    this.#ids[kind].push(id);
    const write = this.#client.put(kind, id, { ...spec, labels: { [temporaryLabel]: new Date().toISOString() } });
    this.#begun.push(write);
    await write;
    return id;
  }

  /** Starts removing the objects of killed runs; whatever stays is left to the next run. */
  removeLeftovers(): void {
    // If the Admin API does not answer, the checks will say so more clearly.
    this.#begun.push(this.#removeLeftovers().catch(() => undefined));
  }

  /** Removes this run's objects, and closes the connections. */
  async remove(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#begun);
    try {
      await this.#delete(this.#ids);
    } finally {
      this.#client.close();
    }
  }

  async #removeLeftovers(): Promise<void> {
    const old = async (kind: Kind) =>
      (await this.#client.list(kind))
        .filter((object) => Date.now() - Date.parse(labelsOf(object)[temporaryLabel] ?? "") > leftoverAge)
        .map((object) => String(object["id"]));
    await this.#delete({ routes: await old("routes"), ssls: await old("ssls") });
  }

  async #delete(ids: Record<Kind, readonly string[]>): Promise<void> {
    for (const kind of kinds) await Promise.all(ids[kind].map((id) => this.#client.delete(kind, id)));
  }
}

function labelsOf(object: Body): Readonly<Record<string, string>> {
  return (object["labels"] ?? {}) as Readonly<Record<string, string>>;
}
