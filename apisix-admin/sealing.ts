// What APISIX seals in etcd, and with which key of its keyring: the Admin API does not say, so a label does.

import { createHash } from "node:crypto";

import type { TimeLimits } from "@mtls-everywhere/cluster-access";

import { type Body, labels } from "./body.ts";
import type { AdminClient, ListedKind, ListedPath } from "./client.ts";
import { ownershipOf } from "./ownership.ts";

/** What an object's label says: the key's name, and a digest that tells values of the same name apart. */
export function sealOf(name: string, key: string): string {
  return `${name}-${createHash("sha256").update(`mtls-everywhere keyring ${key}`).digest("hex").slice(0, digits)}`;
}

const digits = 8;

/** The body, labelled with what seals it, if parts of it are sealed and it takes labels. */
export function labelledSeal(kind: ListedKind, body: Body, seal: string | undefined): Body {
  if (seal === undefined || body["labels"] === undefined || !isSealed(kind, body)) return body;
  return { ...body, labels: { ...(body["labels"] as Body), [labels.sealed]: seal } };
}

/** An object with sealed parts. */
export interface SealedObject {
  /** Kind and id, such as `ssls/site`. */
  readonly object: string;
  /** Whose it is, by its label. */
  readonly owner?: string;
  /** Name of the key that seals it, by its label. */
  readonly key?: string;
  /**
   * When a global rule was last written, in milliseconds: these take no labels. For other kinds it would prove nothing, since
   * a PATCH keeps what it does not name sealed as before.
   */
  readonly written?: number;
}

/** All objects that hold something sealed, whether of this stack, of another, or created by hand. */
export async function sealedObjects(
  client: Pick<AdminClient, "list">,
  limits: TimeLimits = {},
): Promise<SealedObject[]> {
  const found: SealedObject[] = [];
  const look = async (kind: ListedKind, path: ListedPath) => {
    const objects = await client.list(path, limits);
    found.push(...objects.filter((object) => isSealed(kind, object)).map((object) => described(path, object)));
    return objects;
  };
  for (const kind of kindsWithSecrets) {
    const objects = await look(kind, kind);
    if (kind !== "consumers") continue;
    for (const { username } of objects) await look("consumers", `consumers/${String(username)}/credentials`);
  }
  return found;
}

/** Stream routes are left out: the platform runs no stream proxy, and the server then refuses to list them. */
const kindsWithSecrets = [
  "ssls",
  "upstreams",
  "services",
  "routes",
  "consumers",
  "consumer_groups",
  "plugin_configs",
  "global_rules",
  "plugin_metadata",
] as const satisfies readonly ListedKind[];

/** Plugins whose metadata has encrypted fields in 3.18. Metadata has neither labels nor times. */
export const pluginsWithSealedMetadata: readonly string[] = ["azure-functions"];

/** Whether parts of it may be sealed: only APISIX knows which fields of a plugin are. */
function isSealed(kind: ListedKind, object: Body): boolean {
  if (kind === "ssls") return true;
  if (kind === "plugin_metadata") return pluginsWithSealedMetadata.includes(String(object["id"]));
  const holders = [object, object["upstream"] as Body | undefined];
  const presentsKey = holders.some((holder) => (holder?.["tls"] as Body | undefined)?.["client_key"] !== undefined);
  return presentsKey || Object.keys(object["plugins"] ?? {}).length > 0;
}

function described(path: string, object: Body): SealedObject {
  const { owner } = ownershipOf(object);
  const seal = (object["labels"] as Record<string, string> | undefined)?.[labels.sealed];
  const written = object["update_time"];
  return {
    object: `${path}/${String(object["id"] ?? object["username"])}`,
    ...(owner && { owner }),
    ...(seal && { key: seal.slice(0, -digits - 1) }),
    ...(path === "global_rules" && typeof written === "number" && { written: written * 1_000 }),
  };
}
