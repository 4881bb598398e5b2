// The recordings of the real plugins, a table of what is not compared as is, and what in a response is chance.
// Recorded JSON and the messages that the SDK generates have no static types.
/* eslint-disable @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-assignment,
   @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-return */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { readUrn } from "../../../urn.ts";

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

/** A recorded call: a response or an error, never both. */
export interface Recorded {
  readonly method: string;
  readonly request: Json;
  readonly response?: Json;
  readonly errors?: readonly string[];
  readonly ms?: number;
}

export const project = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
export const fixtures = join(project, "..", "shared", "fixtures", "pulumi");

export const filesOf = (plugin: string): string[] =>
  existsSync(join(fixtures, plugin))
    ? readdirSync(join(fixtures, plugin))
        .sort()
        .map((file) => `${plugin}/${file}`)
    : [];

export const recording = (file: string): Recorded[] => {
  const calls = JSON.parse(readFileSync(join(fixtures, file), "utf8")) as Recorded[];
  return calls.map((call) => ({ ...call, method: call.method.split("/").at(-1) ?? call.method }));
};

/** When a recording's newest certificate was issued, which was within minutes of the recording; undefined without certificates. */
export function youngestCertificate(file: string): string | undefined {
  const starts = readFileSync(join(fixtures, file), "utf8").matchAll(/"validityStartTime": ?"(\d{4}-[^"]+Z)"/g);
  return Array.from(starts, ([, start]) => start ?? "")
    .sort()
    .at(-1);
}

// ---------- what is not compared as is, and why

export interface Exception {
  readonly verdict: "differing" | "outOfScope";
  /** Matched against `<file> <method>`. */
  readonly on: RegExp;
  /** Matched against the resource's type, which the report then names. Default: any type. */
  readonly of?: RegExp;
  readonly reason: string;
}

const closed = "the recorded call broke off because the engine exited: there is no response to compare";

/** Every recorded call that no row matches is compared. The first matching row decides. */
export const exceptions: readonly Exception[] = [
  {
    verdict: "outOfScope",
    on: /^random\//,
    of: /:Random(Bytes|Id|Integer|Pet|String|Uuid)$/,
    reason: "the program only draws passwords",
  },
  {
    verdict: "outOfScope",
    on: /^kubernetes\//,
    of: /Patch$/,
    reason: "the program has no Patch resource: it owns each of its objects",
  },
  {
    verdict: "outOfScope",
    on: /console\//,
    reason: "the CLI's output is the engine's; its messages are compared in direct-init-failure",
  },
  {
    verdict: "outOfScope",
    on: /kubernetes\/lab-(0[1-9]|1\d)\S* (Create|Read|Update|Delete)/,
    reason: "recorded on a cluster with a kubelet; the same calls are compared in the sim recordings",
  },
  {
    verdict: "outOfScope",
    on: /kubernetes\/release-\S* (Create|Read|Update|Delete)/,
    reason:
      "the recordings lack the chart; Helm's own action package does the work, and make up installs cert-manager with it",
  },
  {
    verdict: "outOfScope",
    on: /direct-init-failure\.json#[01] /,
    reason: "the same Configure and Check are compared in the other recordings",
  },
  {
    verdict: "outOfScope",
    on: /direct-init-failure\.json#3 /,
    reason: "whether the pod's error is known in time was chance; the same text is compared in the create before it",
  },
  {
    verdict: "outOfScope",
    on: /direct-init-failure\.json#(4|8|10) /,
    reason: "concerns objects that calls outside the recording made or changed",
  },
  { verdict: "outOfScope", on: /direct-init-failure\.json#5 /, reason: "a create that another call had prepared" },
];

/** The type of the resource that a call is about, such as `kubernetes:core/v1:ConfigMap`. */
const typeOf = (call: Recorded): string => readUrn(call.request.urn ?? "").types.at(-1) ?? "";

/** What the real plugin says about an unreachable cluster can be compared without one. */
export const isUnreachable = (file: string, call: Recorded): boolean =>
  file.includes("lab-00-") || call.errors?.some((error) => error.includes("unreachable")) === true;

/** Why a call of a file, `<file>` or `<file>#<index>`, is not compared, and the case's name in the report. */
export function exceptionFor(file: string, call: Recorded): (Exception & { readonly case: string }) | undefined {
  const name = `${file} ${call.method}`;
  if (call.errors?.some((error) => error.includes("client connection is closing")))
    return { verdict: "outOfScope", on: /./, reason: closed, case: name };
  if (isUnreachable(file, call)) return undefined;
  const type = typeOf(call);
  const row = exceptions.find(({ on, of }) => on.test(name) && (of?.test(type) ?? true));
  return row && { ...row, case: row.of === undefined ? name : `${name} ${type.split(":").at(-1)}` };
}

// ---------- what is chance

const pem = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+-----END \1-----\n?/;

/** Strings that differ from run to run, recognised by form: each is replaced by a name for its form. */
function chance(text: string): string {
  const label = pem.exec(text)?.[1] ?? /^<PEM ([A-Z0-9 ]+)>$/.exec(text)?.[1];
  if (label !== undefined) return `<PEM ${label}>`;
  if (/^[A-Za-z0-9+/]{40,}={0,2}$/.test(text) && Buffer.from(text, "base64").toString().startsWith("-----BEGIN"))
    return "<BASE64 PEM>";
  return text
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "<time>")
    .replace(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, (uuid) => (unknowns.has(uuid) ? uuid : "<uuid>"))
    .replace(/^[0-9a-f]{40}$/, "<sha1>")
    .replace(/^\d{34,40}$/, "<serial>")
    .replace(/^\$2a\$10\$.{53}$/, "<bcrypt>")
    .replace(/^([0-9a-f]{2}:){15}[0-9a-f]{2}$/, "<md5>")
    .replace(/^SHA256:.{43}$/, "<sha256>")
    .replace(/^(ssh-\S+|ecdsa-sha2-\S+) \S+\n$/, "$1 <key>\n")
    .replace(/^v?\d+\.\d+\.\d+$/, "<version>")
    .replace(/^pulumi-kubernetes-[0-9a-f]{8}$/, "<field manager>")
    .replace(/field manager "pulumi-kubernetes-[0-9a-f]{8}"/, 'field manager "<field manager>"')
    .replace(/^10\.96\.\d+\.\d+$/, "<cluster ip>")
    .replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>")
    .replace(
      /\b([a-z][a-z0-9-]*)-([0-9a-f]{8,10}|[bcdf-hj-np-tv-z2-9]{8,10})-[bcdf-hj-np-tv-z2-9]{5}\b/g,
      "$1-<replica set>-<pod>",
    );
}

const unknowns = new Set(["04da6b54-80e4-46f7-96ec-b56ff0331ba9"]);

/** A response with everything that is chance replaced. */
export function normal(value: Json, key = ""): Json {
  if (Array.isArray(value)) {
    const items = value.map((item) => normal(item, key));
    // The server and its controllers add these in chance order.
    if (key === "conditions" || key === "managedFields" || key === "replaces" || key === "diffs") {
      items.sort((a, b) => sortKey(a).localeCompare(sortKey(b)));
    }
    return items;
  }
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(
      Object.keys(value)
        .sort()
        .map((k) => [k, normal(value[k], k)]),
    );
  }
  if (key === "resourceVersion") return "<resource version>";
  if (typeof value !== "string") return value;
  return chance(value);
}

/** Recorded updates and creates that returned while controllers were still counting pods, and how far they had got. */
const whileCounting: readonly RegExp[] = [
  // Scaled from 3 pods to 1; returned before the first pod was gone.
  /sim-09-up-patch-force\.json Update web$/,
  // With no pod to wait for, the Deployment is available before its ReplicaSet has counted any.
  /sim-17-fail-bogus\.json Create bogus$/,
];

const counts = ["availableReplicas", "readyReplicas", "replicas", "terminatingReplicas", "updatedReplicas"];

/** The form in which a recorded call's outcome is compared: `normal`, without what depends on the controllers' speed. */
export function formFor(file: string, call: Recorded): (outcome: Json) => Json {
  const name = `${file} ${call.method} ${call.request.name ?? ""}`;
  if (call.request.preview === true || !whileCounting.some((on) => on.test(name))) return (outcome) => normal(outcome);
  return (outcome) => {
    const { response, ...rest } = normal(outcome);
    const { metadata, status } = response.properties;
    for (const count of counts) {
      delete status[count];
      for (const { fieldsV1 } of metadata.managedFields) delete fieldsV1["f:status"]?.[`f:${count}`];
    }
    return { response, ...rest };
  };
}

const sortKey = (v: Json): string =>
  typeof v === "string" ? v : `${v.type ?? ""} ${v.manager ?? ""} ${v.operation ?? ""} ${v.subresource ?? ""}`;

/** A response of the random plugin; drawn passwords are compared by length. */
export function normalRandom(response: Json): Json {
  const masked = normal(response);
  const drawn = masked?.properties?.result;
  if (typeof drawn?.value === "string") drawn.value = `<${drawn.value.length} characters>`;
  return masked;
}
