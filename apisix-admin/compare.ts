// Desired against live: what differs, without what the server fills in and without secrets.

import { isDeepStrictEqual } from "node:util";

import { type Body, labels } from "./body.ts";
import { digestOf } from "./certificates.ts";
import type { ObjectKind } from "./objects.ts";

/** One sentence for each difference, e.g. `nodes is [...], wanted [...]`. Empty when the live object is as desired. */
export function differences(kind: ObjectKind, desired: Body, live: Body): string[] {
  return compare("", comparable(kind, desired), comparable(kind, live));
}

/** An object as it may be shown and kept in state: no keys, digests for certificates, of plugins only the names. */
export function presentable(object: Body): Body {
  const { plugins, ...rest } = withoutServerFields(object);
  return plugins === undefined ? rest : { ...rest, plugins: Object.keys(plugins as Body).sort() };
}

/** What the server assumes where a body is silent; it neither stores nor returns these. */
const defaults: { readonly [kind in ObjectKind]: Body } = {
  upstreams: { type: "roundrobin", scheme: "http", pass_host: "pass", hash_on: "vars" },
  ssls: { type: "server", status: 1 },
  routes: { priority: 0, status: 1 },
};

/** Set by the server. */
const serverFields = new Set(["id", "create_time", "update_time"]);

/** Returned encrypted or not at all. A new key comes with a new certificate, so nothing is missed. (An upstream's `key` is none.) */
const privateKeys = new Set(["key", "keys", "client_key"]);

function comparable(kind: ObjectKind, object: Body): Body {
  const shown: Body = { ...defaults[kind], ...withoutServerFields(object) };
  // The digests in labels say the same as the certificates.
  return shown["labels"] ? { ...shown, labels: without(digestLabels, shown["labels"] as Body) } : shown;
}

const digestLabels = new Set<string>([labels.certificate, labels.clientTrust]);

function withoutServerFields(object: Body): Body {
  const { client, tls, cert, ...rest } = object;
  const trust = client as Body | undefined;
  return {
    ...without(serverFields, cert === undefined ? rest : without(privateKeys, rest)),
    ...(cert === undefined ? {} : { cert: fingerprint(cert) }),
    ...(trust && { client: { depth: 1, ...trust, ca: fingerprint(trust["ca"]) } }),
    ...(tls === undefined ? {} : { tls: without(privateKeys, tls as Body) }),
  };
}

function without(names: ReadonlySet<string>, fields: Body): Body {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.has(name)));
}

function compare(path: string, desired: unknown, live: unknown): string[] {
  if (same(desired, live)) return [];
  if (isObject(desired) && isObject(live)) {
    const fields = [...new Set([...Object.keys(desired), ...Object.keys(live)])].sort();
    return fields.flatMap((field) => compare(path ? `${path}.${field}` : field, desired[field], live[field]));
  }
  // Plugins hold secrets, which the server returns in the clear.
  if (path.startsWith("plugins")) return [`${path} is not as wanted`];
  if (live === undefined) return [`${path} is missing, wanted ${JSON.stringify(desired)}`];
  return [
    `${path} is ${JSON.stringify(live)}, ${desired === undefined ? "not wanted" : `wanted ${JSON.stringify(desired)}`}`,
  ];
}

/** Lua has one empty table: `{}` and `[]` are the same to the server. */
function same(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(a, b) || (isEmpty(a) && isEmpty(b));
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function isObject(value: unknown): value is Body {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fingerprint(pem: unknown): string {
  try {
    return `sha256:${digestOf(String(pem))}`;
  } catch {
    return "unreadable";
  }
}
