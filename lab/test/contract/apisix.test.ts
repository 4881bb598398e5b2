// Compares the APISIX stand-in with recordings of a real APISIX 3.18.0: every recording is compared, or listed below with a reason.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import { fileURLToPath } from "node:url";

import { programFolder, programPath } from "../../../test/support/programs.ts";
import { freePort } from "../../ports.ts";
import { makePems, type Pems } from "./apisix-pki.ts";
import {
  adminKey,
  type Answer,
  call,
  type Call,
  configYaml,
  type Patch,
  type Ports,
  Process,
  spawnApisix,
  startEtcd,
  startUpstreams,
  until,
  type Upstreams,
  viewerKey,
  writePems,
} from "./apisix-servers.ts";
import { ContractReport } from "./report.ts";

const project = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
const fixtures = join(project, "..", "shared", "fixtures", "apisix");

// ---------- what is not compared as is, and why

/** "refused" is out of scope too, but sent anyway, to see that the stand-in says so and does not pretend. */
type Verdict = readonly ["differs" | "outOfScope" | "refused", RegExp, string];

const opaquePlugins = "plugins are stored as opaque objects: their configuration is not checked";
const otherKinds = "the program has no such object; the stand-in answers 501 and says so";
const onlyListed =
  "the program only lists these, to see who refers to what or is sealed; the stand-in answers 501 to anything else";
const otherRequests = "the program sends no such request; the stand-in answers 501 and says so";
const otherFields = "the program sets no such field; the stand-in answers 501 and names it";
const inlineKeys = "the program names client certificates only by id; the stand-in answers 501 to an inlined one";
const afterOthers = "shows the outcome of a request that is out of scope";
const usesPlugin = "a route with a plugin answers 500 and says so; only headers.set of response-rewrite is implemented";
const noNginxConf = "concerns the generated nginx.conf, which the stand-in does not have";
const ownLog = "lines of nginx's error log";
const notAServer = "records openssl's or curl's own output; the same handshakes are compared in other cases";

const exceptions: Readonly<Record<string, readonly Verdict[]>> = {
  "admin-api-crud.json": [
    ["refused", /bob|protos|secrets|stream_routes|credential|plugins\/list/, otherKinds],
    [
      "outOfScope",
      /^GET list (services|consumer|plugin_metadata)|^GET after patch (?!ssls|global|plugin_c)/,
      afterOthers,
    ],
    ["refused", /(?<!empty )(services|consumer|plugin_metadata)/, onlyListed],
    ["refused", /^PATCH sub path|^POST(?!.*(global_rules|plugin_configs))/, otherRequests],
  ],
  "admin-api-errors.json": [
    ["outOfScope", /api key as (query|cookie)/, "the program sends its key in a header"],
    ["outOfScope", /^invalid JSON/, "the program sends JSON; the stand-in refuses anything else in its own words"],
    ["outOfScope", /GET after ttl|cleanup ttl|GET multiple certs|^(gateway|PATCH).*dangling|routes\/rr2/, afterOthers],
    ["refused", /OPTIONS|ttl|force|^list \?|schema\/(route|plugins)|configs\/validate|plugins\/reload/, otherRequests],
    ["refused", /remote_addr|service_id missing|skip regex|multiple certs|^ref: route2/, otherFields],
    ["refused", /^upstream tls (cert|garbage|mismatched)/, inlineKeys],
    ["refused", /service/, otherKinds],
    ["differs", /plugin wrong config|plugin config not object/, opaquePlugins],
    ["outOfScope", /error\.log/, ownLog],
  ],
  "admin-api-tls.json": [
    ["outOfScope", /\/ui/, "the admin UI is off in this project's config.yaml"],
    ["outOfScope", /openssl s_client/, notAServer],
    ["outOfScope", /error\.log/, ownLog],
  ],
  "gateway-mtls.json": [
    [
      "differs",
      /serverAuth-only EKU/,
      "crypto/tls sends bad_certificate (42) where OpenSSL sends unsupported_certificate (43)",
    ],
    ["outOfScope", /^skip:/, otherFields],
    ["outOfScope", /openssl/, notAServer],
    ["outOfScope", /error\.log/, ownLog],
  ],
  "gateway-upstream-tls.json": [
    ["outOfScope", /serverless/, usesPlugin],
    ["refused", /^inline|mismatched client key/, inlineKeys],
    [
      "outOfScope",
      /scheme http to an https port/,
      "the page is the upstream's own, and this test's upstream is not nginx",
    ],
  ],
  "gateway-upstream-tls-proxy_ssl_verify-snippet.json": [],
  "gateway-upstream-tls-with-upstream-keepalive.json": [
    [
      "outOfScope",
      /./,
      "which pooled connection hides which change depends on nginx's workers; no case compares the pool's key",
    ],
  ],
  "rotation-ssl-object.json": [
    ["outOfScope", /session resumption/, "config.yaml turns resumption off; that it is off is tested below"],
  ],
  "rotation-files.json": [
    ["outOfScope", /etcd client certificate/, "takes 73 s; that each new connection reads the files is tested below"],
    ["outOfScope", /session made under/, "config.yaml turns resumption off on this port as well"],
  ],
  "rotation-resumption-and-reload.json": [
    ["outOfScope", /session made under/, "config.yaml turns resumption off; that it is off is tested below"],
    ["outOfScope", /baseline|apisix reload|two SIGHUPs/, "load figures; one SIGHUP under load is compared"],
  ],
  "etcd-outage.json": [],
  "etcd-trust-and-data-loss.json": [
    ["outOfScope", /session made without/, "config.yaml turns resumption off"],
    [
      "outOfScope",
      /moved to another CA/,
      "trusted roots are read at start and SIGHUP only: compared for the Admin CA in rotation-files",
    ],
  ],
  "admin-api-concurrency.json": [["outOfScope", /^(?!.*PATCH).*(POST|if-match)/, otherRequests]],
  "secrets-and-misc.json": [
    ["refused", /^PUT (upstream|route) with|^PUT back exactly/, inlineKeys],
    ["outOfScope", /client_key|inline upstream|what GET returned|^GET list/, inlineKeys],
    ["outOfScope", /after PATCH|^\.\.\.|^GET after$/, afterOthers],
    ["outOfScope", /^PATCH route/, inlineKeys],
    ["refused", /^If-/, otherRequests],
    ["outOfScope", /control API/, "config.yaml turns the Control API off"],
    ["outOfScope", /^curl/, notAServer],
    ["outOfScope", /6 s request|^up again/, usesPlugin],
    ["outOfScope", /apisix (reload|quit)/, "the image's command line; the signals it sends are compared"],
  ],
  "config-keys.json": [
    [
      "outOfScope",
      /^base|removed$|^allow_admin: \[\]|path does not exist|unset \(default\)|"system|without key|cert missing file|but no CA/,
      noNginxConf,
    ],
    ["outOfScope", /https_admin false but/, noNginxConf],
    ["outOfScope", /admin_key_required/, "the program does not set this key; the stand-in refuses it by name"],
    [
      "outOfScope",
      /absent from|empty|generated key/,
      "the stand-in refuses to start without a key instead of making one up and rewriting config.yaml",
    ],
    [
      "outOfScope",
      /2\.x position|old default key|^end|^admin_key from env|error lines$|hostname localhost/,
      "same as other cases in this file, or log lines",
    ],
    ["differs", /unknown key/, "refused by name: the real server silently ignores unknown keys, which a test must not"],
    ["differs", /wrong type/, "refused too, in other words"],
  ],
  "performance.json": [["outOfScope", /./, "another program's figures"]],
};

// ---------- recordings

interface Recorded {
  readonly name: string;
  readonly request?: {
    readonly method: string;
    readonly path: string;
    readonly body?: unknown;
    readonly x_api_key?: string | null;
    readonly headers?: Record<string, string>;
    readonly client_cert?: string | null;
    readonly client_chain?: string;
    readonly client_sni?: string | null;
    readonly client_ca?: string | null;
  };
  readonly response?: {
    readonly status?: number;
    readonly headers?: Record<string, string>;
    readonly json?: unknown;
    readonly body?: string;
    readonly error?: string;
    readonly list_ids?: string[];
  };
  readonly route_upstream?: unknown;
  readonly observed?: unknown;
  readonly list_ids?: string[];
}

function recordings(file: string): Recorded[] {
  return (JSON.parse(readFileSync(join(fixtures, file), "utf8")) as { cases: Recorded[] }).cases;
}

/** What is compared of a response: status, meaningful headers and body, or the TLS alert. */
interface Seen {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
  readonly refused?: string;
}

const comparedHeaders = [
  "content-type",
  "server",
  "access-control-allow-origin",
  "x-api-version",
  "x-apisix-upstream-status",
];

/** OpenSSL's names for the alerts in the recordings. */
const alerts: Readonly<Record<string, number>> = {
  SSLV3_ALERT_HANDSHAKE_FAILURE: 40,
  SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: 43,
  SSLV3_ALERT_CERTIFICATE_EXPIRED: 45,
  TLSV1_ALERT_UNKNOWN_CA: 48,
  TLSV1_ALERT_PROTOCOL_VERSION: 70,
  TLSV1_ALERT_INTERNAL_ERROR: 80,
  TLSV13_ALERT_CERTIFICATE_REQUIRED: 116,
};

function expectedOf(recorded: Recorded): Seen {
  const { response } = recorded;
  if (!response) throw new Error(`${recorded.name}: nothing recorded`);
  if (response.error !== undefined) {
    if (response.error.includes("CERTIFICATE_VERIFY_FAILED")) return { refused: "by the client" };
    const alert = /SSL: (\w+)\]/.exec(response.error)?.[1] ?? "";
    return { refused: `alert ${alerts[alert] ?? alert}` };
  }
  const body = "json" in response ? response.json : (response.body ?? "");
  return {
    status: response.status ?? 0,
    headers: Object.fromEntries(
      comparedHeaders.flatMap((name) => (response.headers?.[name] ? [[name, response.headers[name]]] : [])),
    ),
    body:
      (recorded.list_ids ?? response.list_ids)
        ? idsOf(body, recorded.list_ids ?? response.list_ids ?? [])
        : plain(body),
  };
}

function seen(answer: Answer, listed: boolean): Seen {
  let body: unknown = answer.text;
  try {
    body = JSON.parse(answer.text);
  } catch {
    // A page.
  }
  return {
    status: answer.status,
    headers: Object.fromEntries(
      comparedHeaders.flatMap((name) =>
        typeof answer.headers[name] === "string" ? [[name, answer.headers[name]]] : [],
      ),
    ),
    body: listed ? idsOf(body) : plain(body),
  };
}

/** Reduces a long list to its total and ids; the recording has only the first two objects. */
function idsOf(body: unknown, ids?: string[]): { total: number; ids: string[] } {
  const { total, list } = body as { total: number; list: { value: { id: string } }[] };
  return { total, ids: ids ?? (Array.isArray(list) ? list.map((entry) => entry.value.id) : []) };
}

let pems: Pems = {};

/** Masks what differs from run to run: times, revisions, generated ids, certificates, ciphers. */
function plain(value: unknown, key = ""): unknown {
  if (typeof value === "number" && /^(create|update)_time$|^(created|modified)Index$/.test(key)) return 0;
  if (typeof value === "string") {
    if (key === "cipher" && value) return "<cipher>";
    if (value.startsWith("VMF7ACvwvQk6t8kvorP2I")) return "<encrypted with the default keyring>";
    const known = Object.entries(pems).find(([, text]) => text.trim() === value.trim());
    return known ? `<PEM ${known[0]}>` : value.replace(/\d{20}/g, "<generated>");
  }
  if (Array.isArray(value)) return value.map((item) => plain(item));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item, name)]));
}

// ---------- the servers

let folder = "";
let ports: Ports;
let file: (name: string) => string = (name) => name;
let etcd: Process;
let apisix: Process;
let upstreams: { ports: Upstreams; close: () => void };
let agent: https.Agent;

const trusting = () => ({ ca: pems["ca.crt"], checkServerIdentity: () => undefined });
const shown = (leaf: string) => ({ cert: pems[`${leaf}.crt`], key: pems[`${leaf}.key`] });

async function start(patches: readonly Patch[] = [], env: NodeJS.ProcessEnv = {}): Promise<void> {
  apisix = spawnApisix(folder, configYaml(ports, file, patches), env);
  let exited = false;
  void apisix.ended.then(() => (exited = true));
  await until(`the stand-in (${apisix.output})`, async () => {
    if (exited) throw new Error(apisix.output);
    return (await call({ port: ports.status, path: "/status" })).status === 200;
  });
}

async function restart(patches: readonly Patch[] = [], env: NodeJS.ProcessEnv = {}): Promise<void> {
  await apisix.stop();
  await start(patches, env);
}

function admin(method: string, path: string, body?: unknown, more: Partial<Call> = {}): Promise<Answer> {
  const text = typeof body === "string" || body === undefined ? body : JSON.stringify(body);
  return call({
    port: ports.admin,
    method,
    path: `/apisix/admin/${path}`,
    headers: { "x-api-key": adminKey },
    ...(text === undefined ? {} : { body: text }),
    agent,
    ...more,
  });
}

const jsonOf = ({ text }: Answer): unknown => JSON.parse(text);

/** A client with this leaf, connecting under this name. */
const clientOf = (leaf: string, servername: string) => ({ ...trusting(), ...shown(leaf), servername });

/** One connection for all requests. */
const keptAlive = (leaf: string, servername: string) =>
  new https.Agent({ keepAlive: true, maxSockets: 1, ...clientOf(leaf, servername) });

/** Opens a separate connection to a TLS port. */
async function connected(port: number, options: tls.ConnectionOptions): Promise<tls.TLSSocket> {
  const socket = tls.connect({ host: "127.0.0.1", port, ...options });
  await once(socket, "secureConnect");
  return socket;
}

/** Writes an object and gives the gateway a moment to apply it. */
async function put(path: string, body: unknown): Promise<void> {
  const answer = await admin("PUT", path, body);
  assert.ok(answer.status < 300, `PUT ${path}: ${answer.status} ${answer.text}`);
  await sleep(60);
}

async function wipe(): Promise<void> {
  for (const kind of ["routes", "upstreams", "ssls"]) {
    const { list } = jsonOf(await admin("GET", kind)) as { list: { key: string }[] };
    for (const { key } of list) await admin("DELETE", `${kind}/${key.split("/").pop() ?? ""}`);
  }
  await sleep(60);
}

const withPems = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value).replace(/"<PEM ([\w.-]+)>"/g, (_, name: string) => JSON.stringify(pems[name] ?? name)),
  );

/** Translates recorded upstream ports into this run's, and back. */
const toLive = (text: string) =>
  text.replace(/\b(18\d{3})\b/g, (recorded) => String(upstreams.ports[recorded] ?? recorded));
const toRecorded = (text: string) =>
  Object.entries(upstreams.ports).reduce((all, [recorded, live]) => all.replaceAll(`:${live}`, `:${recorded}`), text);

const plainUpstream = { type: "roundrobin", nodes: { "127.0.0.1:18080": 1 } };
/** A route from this path to the plain upstream. */
const way = (uri: string) => ({ uri, upstream: live(plainUpstream) });
const live = (value: unknown): unknown => withPems(JSON.parse(toLive(JSON.stringify(value))));

function tlsVersion(name: string): tls.ConnectionOptions {
  const version = /TLS ?1\.([23])/.exec(name)?.[1];
  return version
    ? { minVersion: `TLSv1.${version}` as tls.SecureVersion, maxVersion: `TLSv1.${version}` as tls.SecureVersion }
    : {};
}

/** Sends a recorded request to the port that its path and topic imply. */
async function send(recorded: Recorded, topic: "admin" | "gateway"): Promise<Answer> {
  const { request } = recorded;
  if (!request) throw new Error(`${recorded.name}: no replay is written for this; list it with a reason`);
  const toAdmin = topic === "admin" ? !/^\/(rr2?|probe)$/.test(request.path) : request.path.startsWith("/apisix/admin");
  const key =
    request.x_api_key === undefined ? adminKey : request.x_api_key === "<VIEWER_KEY>" ? viewerKey : request.x_api_key;
  const headers: Record<string, string> = { ...request.headers };
  for (const [name, value] of Object.entries(headers)) headers[name] = value.replace("<ADMIN_KEY>", adminKey);
  if (toAdmin && typeof key === "string") headers["x-api-key"] = key;
  const leaf = request.client_chain ? request.client_chain.replace("-chain.crt", "") : request.client_cert;
  const untouched =
    request.client_cert === undefined && request.client_sni === undefined && request.client_ca === undefined;
  const version = tlsVersion(recorded.name);
  const base = {
    method: request.method,
    path: request.path.replace("<ADMIN_KEY>", adminKey),
    headers,
    ...(request.body === undefined
      ? {}
      : { body: typeof request.body === "string" ? request.body : JSON.stringify(withPems(request.body)) }),
  };
  if (toAdmin && untouched && !version.minVersion) return call({ ...base, port: ports.admin, agent });
  if (!toAdmin && request.client_sni === undefined) return call({ ...base, port: ports.http });
  const chain = request.client_chain ? { cert: pems[request.client_chain] } : {};
  return call({
    ...base,
    port: toAdmin ? ports.admin : ports.https,
    tls: {
      ...trusting(),
      ...(leaf === null ? {} : shown(leaf ?? "admin-client")),
      ...chain,
      ...version,
      servername: request.client_sni === undefined ? "apisix-admin" : (request.client_sni ?? ""),
      ...(request.client_ca === undefined
        ? {}
        : request.client_ca === null
          ? { rejectUnauthorized: false }
          : { ca: pems[request.client_ca] }),
    },
  });
}

async function outcome(recorded: Recorded, topic: "admin" | "gateway"): Promise<Seen> {
  try {
    const answer = await send(recorded, topic);
    const text = topic === "gateway" ? toRecorded(answer.text) : answer.text;
    return seen({ ...answer, text }, recorded.list_ids !== undefined || recorded.response?.list_ids !== undefined);
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    const alert = /SSL alert number (\d+)/.exec(message)?.[1];
    if (alert) return { refused: `alert ${alert}` };
    if (/CERT|ISSUER|SIGNED|VERIFY/.test(code ?? "")) return { refused: "by the client" };
    throw error;
  }
}

// ---------- replay

const report = new ContractReport();
let planned = 0;

interface Topic {
  readonly topic?: "admin" | "gateway";
  /** What has to be set up before a case, by its name. */
  readonly before?: Readonly<Record<string, () => Promise<unknown>>>;
  /** Replays of observations other than exchanges, by a part of the name. Each asserts. */
  readonly behaviours?: readonly (readonly [RegExp, (recorded: Recorded) => Promise<void>])[];
}

function replay(name: string, { topic = "admin", before: setup = {}, behaviours = [] }: Topic): void {
  describe(name, () => {
    if (!existsSync(join(fixtures, name))) {
      it.skip(`the recording ${name} is not there`);
      return;
    }
    const done = new Set<string>();
    for (const recorded of recordings(name)) {
      planned++;
      const id = `${name}: ${recorded.name}`;
      const [verdict, , reason] = (exceptions[name] ?? []).find(([, pattern]) => pattern.test(recorded.name)) ?? [
        "compare",
        ,
        "",
      ];
      it(`${recorded.name}${verdict === "compare" ? "" : ` (${verdict}: ${reason})`}`, async function () {
        const first = !done.has(recorded.name);
        done.add(recorded.name);
        if (first) await setup[recorded.name]?.();
        if (verdict === "outOfScope" || verdict === "refused") report.outOfScope.push({ case: id, reason });
        if (verdict === "outOfScope") this.skip();
        if (verdict === "refused") {
          const upstream = recorded.route_upstream;
          const { status, text } = upstream
            ? await admin("PUT", "routes/u", { uri: "/u", upstream: live(upstream) })
            : await send(recorded, topic);
          assert.equal(status, 501, text);
          return assert.match(text, /stand-in: .* is not implemented/);
        }
        const behaviour = behaviours.find(([pattern]) => pattern.test(recorded.name))?.[1];
        if (behaviour) {
          await behaviour(recorded);
        } else {
          if (recorded.route_upstream)
            await put("routes/u", { uri: "/u", upstream: await byId(recorded.route_upstream) });
          const actual = await outcome(recorded, topic);
          // If the difference is gone, its line above must go too.
          if (verdict === "differs") assert.notDeepEqual(actual, expectedOf(recorded));
          else assert.deepEqual(actual, expectedOf(recorded));
        }
        if (verdict === "differs") report.differing.push({ case: id, reason });
        else report.compared.push(id);
      });
    }
  });
}

/** A recorded upstream with its client certificate in a separate object, as in the program; recordings show that both are equivalent. */
async function byId(recorded: unknown): Promise<unknown> {
  const upstream = live(recorded) as { tls?: { client_cert?: string; client_key?: string } };
  const { client_cert: cert, client_key: key, ...rest } = upstream.tls ?? {};
  if (cert === undefined) return upstream;
  await put("ssls/inline", { type: "client", cert, key });
  return { ...upstream, tls: { ...rest, client_cert_id: "inline" } };
}

/** The response's status and message, as the recordings summarize them. */
function summary(answer: Answer): string {
  const parsed = answer.text.startsWith("{") ? (jsonOf(answer) as { error_msg?: string; message?: string }) : {};
  const message = parsed.error_msg ?? parsed.message;
  return `(${answer.status}, ${message === undefined ? "None" : `'${message}'`})`;
}

function tally(answers: readonly Answer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[summary(answer)] = (counts[summary(answer)] ?? 0) + 1;
  return counts;
}

const gatewayCall = (
  leaf: string | null,
  more: Partial<Call> = {},
  options: tls.ConnectionOptions = {},
): Promise<Answer> =>
  call({
    port: ports.https,
    path: "/plain",
    headers: { host: "gw.local" },
    tls: { ...trusting(), ...(leaf ? shown(leaf) : {}), servername: "gw.local", ...options },
    ...more,
  });

const alertOf = (attempt: Promise<Answer>): Promise<string> =>
  attempt.then(
    (answer) => `HTTP ${answer.status}`,
    (error: Error) => /SSL alert number (\d+)/.exec(error.message)?.[1] ?? error.message,
  );

const site = (more: object = {}) => ({
  cert: pems["gateway.crt"],
  key: pems["gateway.key"],
  snis: ["gw.local"],
  ...more,
});
const clientsOf = (...roots: string[]) => ({ client: { ca: roots.map((root) => pems[`${root}.crt`]).join("") } });

describe("the APISIX stand-in, against recordings of APISIX 3.18.0", function () {
  this.timeout(60_000);

  before(async function () {
    for (const name of ["apisix", "etcd"])
      if (programPath(name) === undefined) {
        console.log(`      skipped: there is no ${name} in ${programFolder}; set LAB_BIN, or build the lab`);
        this.skip();
      }
    folder = mkdtempSync(join(tmpdir(), "mtls-contract-apisix-"));
    pems = await makePems();
    file = writePems(join(folder, "tls"), pems);
    ports = {
      ...{ http: await freePort(), https: await freePort(), admin: await freePort(), status: await freePort() },
      ...{ etcd: await freePort(), peer: await freePort() },
    };
    agent = new https.Agent({ keepAlive: true, ...clientOf("admin-client", "apisix-admin") });
    upstreams = await startUpstreams(pems);
    install("live-admin", "apisix-admin", "live-admin-ca.crt", "ca");
    install("live-etcd", "etcd-client");
    etcd = await startEtcd(folder, ports, file);
    await start();
  });

  after(async () => {
    agent?.destroy();
    upstreams?.close();
    await Promise.all([...Process.running].map((one) => one.stop("SIGKILL")));
    if (folder) rmSync(folder, { recursive: true, force: true });
    const { compared, differing, outOfScope } = report;
    // A partial run makes no report.
    if (planned > 0 && compared.length + differing.length + outOfScope.length === planned)
      report.write(project, "apisix");
  });

  /** Puts a leaf and a CA where the running configuration looks for them. */
  function install(target: string, leaf: string, caTarget?: string, ca?: string): void {
    for (const end of ["crt", "key"]) writeFileSync(file(`${target}.${end}`), pems[`${leaf}.${end}`] ?? "");
    if (caTarget && ca) writeFileSync(file(caTarget), pems[`${ca}.crt`] ?? "");
  }

  afterEach(function () {
    if (this.currentTest?.state === "failed" && process.env["CONTRACT_LOG"]) console.log(apisix.output.slice(-3000));
  });

  replay("admin-api-crud.json", { before: { "GET empty routes": wipe } });

  replay("admin-api-errors.json", {
    before: {
      "missing api key": wipe,
      "list without page: order of ids": async () => {
        await wipe();
        for (let i = 0; i < 25; i++) {
          const labels = { env: i % 2 ? "dev" : "prod" };
          await admin("PUT", `routes/p${String(i).padStart(2, "0")}`, {
            name: `page-${i}`,
            uri: `/p${i}`,
            labels,
            upstream: plainUpstream,
          });
        }
      },
    },
    behaviours: [
      [
        /list without page|list total/,
        async (recorded) => {
          const { total, ids } = idsOf(jsonOf(await admin("GET", "routes")));
          assert.deepEqual(recorded.name === "list total" ? total : ids, recorded.observed);
        },
      ],
      [
        /PUT body of/,
        async (recorded) => {
          const { status, json } = recorded.observed as { status: number; json: unknown };
          const size = Number(/~(\d+)/.exec(recorded.name)?.[1]);
          const empty = JSON.stringify({
            uri: "/big",
            desc: "",
            upstream: plainUpstream,
            plugins: { echo: { body: "" } },
          });
          // The recordings' limits apply to whole bodies; 128 bytes are the overhead around the padding.
          const total = size + 128;
          const body = empty.replace('"body":""', `"body":"${"x".repeat(total - empty.length)}"`);
          const answer = await admin("PUT", "routes/big", body);
          assert.equal(answer.status, status);
          if (status !== 201) assert.deepEqual(jsonOf(answer), json);
        },
      ],
    ],
  });

  replay("admin-api-tls.json", {
    before: { "no client certificate (TLS1.3)": wipe },
    behaviours: [
      [/plain HTTP to/, (recorded) => answersPlainly(ports.admin, recorded)],
      [/gateway HTTP port/, (recorded) => answersPlainly(ports.http, recorded)],
    ],
  });

  replay("admin-api-concurrency.json", {
    before: { "16 parallel PUT of the same new id": wipe },
    behaviours: concurrency(),
  });

  replay("secrets-and-misc.json", {
    before: {
      "ssl object in etcd (keys; start of key)": wipe,
      "slow upstream (120 kB at 20 kB/s, ~5 s) in flight during apisix reload": () =>
        put("routes/slow-body", way("/slow-body")),
    },
    behaviours: [
      [/slow upstream/, slowUpstream],
      [
        /ssl object in etcd/,
        async () => {
          const { value } = jsonOf(await admin("PUT", "ssls/sk", site(clientsOf("ca")))) as {
            value: Record<string, string>;
          };
          const fields = ["cert", "client", "create_time", "id", "key", "snis", "update_time"];
          assert.deepEqual(Object.keys(value).sort(), fields);
          assert.match(value["key"] ?? "", /^VMF7ACvwvQk6t8kvorP2I/);
        },
      ],
    ],
  });

  const gateway = async () => {
    await wipe();
    await put("routes/plain", { uris: ["/plain", "/open/*"], upstream: live(plainUpstream) });
  };

  replay("gateway-mtls.json", {
    topic: "gateway",
    before: {
      "no ssl object at all": gateway,
      "ssl objects in place (ids: snis, client options)": async () => {
        await put("ssls/g1", site(clientsOf("ca")));
        await put("ssls/g2", { snis: ["ec.local"], cert: pems["gateway-ec.crt"], key: pems["gateway-ec.key"] });
        for (const depth of [0, 1, 2])
          await put(`ssls/d${depth}`, site({ snis: [`d${depth}.gw.local`], client: { ca: pems["ca.crt"], depth } }));
        await put("ssls/tls13", site({ snis: ["t13.gw.local"], ssl_protocols: ["TLSv1.3"] }));
        await put("ssls/two", site({ snis: ["two.gw.local"], ...clientsOf("ca", "ca2") }));
        await put("ssls/wild", site({ snis: ["*.gw.local"] }));
      },
      "duplicate SNI in two ssl objects (g1 mTLS, dup later without client)": () => put("ssls/dup", site()),
      "ssl status=0": async () => {
        await admin("DELETE", "ssls/dup");
        await put("ssls/g1", site({ status: 0 }));
      },
      "ssl object with mismatched key (accepted by the Admin API)": () =>
        put("ssls/mis", { snis: ["mis.gw.local"], cert: pems["gateway.crt"], key: pems["upstream.key"] }),
      "ssl object with expired server certificate: client verifying": () =>
        put("ssls/exp", { snis: ["exp.local"], cert: pems["gateway-expired.crt"], key: pems["gateway-expired.key"] }),
    },
    behaviours: [
      [
        /ssl objects in place/,
        async (recorded) => {
          const ids = Object.keys(recorded.observed as object).flatMap((some) => some.split("/"));
          const inPlace = idsOf(jsonOf(await admin("GET", "ssls"))).ids;
          assert.deepEqual(inPlace.sort(), ids.filter((id) => id !== "skip").sort());
        },
      ],
    ],
  });

  const upstreamTls = {
    topic: "gateway" as const,
    behaviours: [
      [
        /Admin API refused/,
        async (recorded: Recorded) => {
          const upstream = { ...plainUpstream, scheme: "https", tls: { client_cert_id: "g1" } };
          const answer = await admin("PUT", "routes/u", { uri: "/u", upstream });
          const { status, json } = recorded.observed as { status: number; json: unknown };
          assert.deepEqual([answer.status, jsonOf(answer)], [status, json]);
        },
      ] as const,
    ],
  };
  const clientPair = async () => {
    await gateway();
    await put("ssls/uc", { type: "client", cert: pems["upstream-client.crt"], key: pems["upstream-client.key"] });
    await put("ssls/g1", site());
  };

  replay("gateway-upstream-tls.json", {
    ...upstreamTls,
    before: { "https upstream requires client cert, none given": clientPair },
  });

  replay("gateway-upstream-tls-with-upstream-keepalive.json", {});

  replay("gateway-upstream-tls-proxy_ssl_verify-snippet.json", {
    topic: "gateway",
    before: {
      "no tls.verify good upstream cert (rewrite host upstream.local)": async () => {
        const trust = [
          "nginx_config.http_server_location_configuration_snippet",
          `proxy_ssl_trusted_certificate ${file("ca.crt")};\n`,
        ] as const;
        await restart([
          trust,
          ["nginx_config.http_server_configuration_snippet", "proxy_ssl_verify on;\nproxy_ssl_verify_depth 2;\n"],
        ]);
        await clientPair();
      },
    },
  });

  replay("rotation-ssl-object.json", {
    topic: "gateway",
    before: {
      "6 rotations under 3 connection-per-request loops and 2 keep-alive loops": async () => {
        await restart();
        await gateway();
        await put("ssls/g1", site(clientsOf("ca")));
      },
      "after client.ca := ca2: certificate of old CA": () => put("ssls/g1", site(clientsOf("ca2"))),
    },
    behaviours: [
      [/^6 rotations/, rotations],
      [/^keep-alive connection, request after the ssl|^keep-alive connection authenticated/, keepsAlive],
    ],
  });

  replay("rotation-files.json", {
    topic: "gateway",
    before: {
      "gateway serves the probe route": () => put("routes/probe", way("/probe")),
    },
    behaviours: [
      [
        /admin server certificate/,
        async (recorded) => {
          const presented = async () => {
            const socket = await connected(ports.admin, clientOf("admin-client", "apisix-admin"));
            const { CN } = socket.getPeerCertificate().subject as { CN: string };
            socket.destroy();
            return CN;
          };
          const expected = Object.values(recorded.observed as Record<string, string>);
          const actual = [await presented()];
          install("live-admin", "apisix-admin-rotated");
          actual.push(await presented());
          await sleep(500);
          actual.push(await presented());
          actual.push(await hangup().then(presented));
          install("live-admin", "apisix-admin");
          actual.push(await hangup().then(presented));
          assert.deepEqual(actual, expected);
        },
      ],
      [
        /admin client CA/,
        async () => {
          const asks = async (leaf: string) => {
            const more = { tls: clientOf(leaf, "apisix-admin"), agent: undefined as never };
            return (await admin("GET", "routes", undefined, more)).status;
          };
          const both = async () => [await asks("user-client"), await asks("user-ca2")];
          assert.deepEqual(await both(), [200, 400]);
          writeFileSync(file("live-admin-ca.crt"), pems["ca2.crt"] ?? "");
          assert.deepEqual(await both(), [200, 400]);
          await hangup();
          assert.deepEqual(await both(), [400, 200]);
          writeFileSync(file("live-admin-ca.crt"), pems["ca.crt"] ?? "");
          await hangup();
          assert.deepEqual(await both(), [200, 400]);
        },
      ],
      [
        /gateway serves the probe/,
        async () => assert.equal((await call({ port: ports.http, path: "/probe" })).status, 200),
      ],
    ],
  });

  replay("rotation-resumption-and-reload.json", {
    before: {
      "kill -HUP master (no regeneration of nginx.conf)": async () => {
        await gateway();
        await put("ssls/g1", site(clientsOf("ca")));
      },
    },
    behaviours: [
      [
        /kill -HUP/,
        async () => {
          let running = true;
          let done = 0;
          const load = [0, 1, 2].map(async () => {
            for (; running; done++) assert.equal((await gatewayCall("user-client")).status, 200);
          });
          await sleep(300);
          await hangup();
          await sleep(300);
          running = false;
          await Promise.all(load);
          assert.ok(done > 5, `only ${done} connections`);
        },
      ],
    ],
  });

  replay("etcd-outage.json", {
    before: {
      "etcd stopped 30 s under load": async () => {
        await gateway();
        await put("ssls/g1", site(clientsOf("ca")));
      },
    },
    behaviours: [
      [/etcd stopped 30 s/, outage],
      [/restarted at once/, restartedAtOnce],
      [/reload \/ SIGHUP while/, reloadWithoutEtcd],
    ],
  });

  replay("etcd-trust-and-data-loss.json", {
    behaviours: [
      [
        /empty data directory/,
        async (recorded) => {
          await gateway();
          assert.equal((await call({ port: ports.http, path: "/plain" })).status, 200);
          await etcd.stop("SIGKILL");
          etcd = await startEtcd(folder, ports, file, { fresh: true });
          await until("routes gone", async () => (await call({ port: ports.http, path: "/plain" })).status === 404);
          const { "admin GET routes": listed } = recorded.observed as Record<string, { status: number; json: unknown }>;
          const answer = await until("Admin API back", async () => {
            const got = await admin("GET", "routes");
            return got.status !== 503 && got;
          });
          assert.deepEqual([answer.status, jsonOf(answer)], [listed?.status, listed?.json]);
          assert.equal((await admin("PUT", "routes/probe", way("/probe"))).status, 201);
        },
      ],
      [
        /start while etcd is down/,
        async () => {
          await Promise.all([etcd.stop("SIGKILL"), apisix.stop()]);
          const ended = await spawnApisix(folder, configYaml(ports, file, [])).ended;
          assert.equal(ended.code, 1);
          assert.match(ended.output, /Warning! Request etcd endpoint '.*\/version' error, .*, retry time=1\n/);
          assert.match(ended.output, /all etcd nodes are unavailable/);
          etcd = await startEtcd(folder, ports, file);
          await start();
        },
      ],
      [
        /serverAuth only/,
        async (recorded) => {
          await etcd.stop("SIGKILL");
          etcd = await startEtcd(folder, ports, file, { server: "etcd-server-only" });
          const [status, message] = (recorded.observed as Record<string, [number, string]>)[
            "admin PUT with etcd server certificate having only serverAuth EKU"
          ] ?? [0, ""];
          const answer = await admin("PUT", "routes/probe", way("/probe"));
          assert.equal(summary(answer), `(${status}, '${message}')`);
          await etcd.stop("SIGKILL");
          etcd = await startEtcd(folder, ports, file);
          await restart();
        },
      ],
    ],
  });

  replay("config-keys.json", { behaviours: [[/./, startsAsRecorded]] });

  replay("performance.json", {});

  describe("facts without a recording", () => {
    const auth = async (path: string, body: object, token?: string) => {
      const answer = await call({
        port: ports.etcd,
        method: "POST",
        path: `/v3/auth/${path}`,
        body: JSON.stringify(body),
        headers: token ? { authorization: token } : {},
        tls: { ...clientOf("etcd-client", "etcd.local"), ca: pems["etcd-ca.crt"] },
      });
      assert.equal(answer.status, 200, `${path}: ${answer.text}`);
      return jsonOf(answer) as { token?: string };
    };

    it("neither TLS 1.2 nor TLS 1.3 sessions resume with ssl_session_cache off", async () => {
      await restart([
        ["nginx_config.http_server_configuration_snippet", "ssl_session_cache off;\nkeepalive_time 1s;\n"],
      ]);
      await gateway();
      await put("ssls/g1", site(clientsOf("ca")));
      for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
        const visit = async (session?: Buffer) => {
          const socket = await connected(ports.https, {
            ...clientOf("user-client", "gw.local"),
            ...{ minVersion: version, maxVersion: version, ...(session ? { session } : {}) },
          });
          let ticket = socket.getSession();
          socket.on("session", (given) => (ticket = given));
          socket.write("GET /plain HTTP/1.1\r\nhost: gw.local\r\n\r\n");
          await new Promise((resolve) => socket.once("data", resolve));
          ticket = ticket ?? socket.getSession();
          socket.destroy();
          return { ticket, reused: socket.isSessionReused() };
        };
        const { ticket } = await visit();
        assert.notEqual((await visit(ticket)).reused, true, version);
      }
    });

    it("offers the versions and suites that config.yaml names, on the gateway and the Admin API", async () => {
      const candidates = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305", "AES128-SHA"].map(
        (rest) => `ECDHE-ECDSA-${rest}`,
      );
      const offered = async (port: number, client: tls.ConnectionOptions) => {
        const takes = (options: tls.ConnectionOptions) =>
          connected(port, { ...client, ...options }).then(
            (socket) => Boolean(socket.destroy()),
            () => false,
          );
        const suites = [];
        for (const ciphers of candidates) if (await takes({ maxVersion: "TLSv1.2", ciphers })) suites.push(ciphers);
        return { suites, tls13: await takes({ minVersion: "TLSv1.3" }) };
      };
      const both = async (...patches: Patch[]) => {
        await restart(patches);
        await gateway();
        await put("ssls/ec", { snis: ["ec.local"], cert: pems["gateway-ec.crt"], key: pems["gateway-ec.key"] });
        return [
          await offered(ports.https, clientOf("user-client", "ec.local")),
          await offered(ports.admin, clientOf("admin-client", "apisix-admin")),
        ];
      };
      const everywhere = (suites: string[], tls13 = true) => Array.from({ length: 2 }, () => ({ suites, tls13 }));
      assert.deepEqual(await both(), everywhere(candidates.slice(0, 3)));
      const [, strong = ""] = candidates;
      const named = ["apisix.ssl.ssl_ciphers", `NO-SUCH-SUITE:${strong}:DHE-RSA-AES256-GCM-SHA384`] as const;
      assert.deepEqual(await both(named), everywhere([strong]));
      assert.deepEqual(await both(named, ["apisix.ssl.ssl_protocols", "TLSv1.2"]), everywhere([strong], false));
      assert.deepEqual(await both(["apisix.ssl.ssl_protocols", "TLSv1.3"]), everywhere([]));
      await restart();

      const refused = async (key: string, value: string) =>
        (await spawnApisix(join(folder, "other"), configYaml(ports, file, [[`apisix.ssl.${key}`, value]])).ended)
          .output;
      assert.match(await refused("ssl_ciphers", "DHE-RSA-AES256-GCM-SHA384"), /has none of the suites in "DHE-RSA/);
      assert.match(await refused("ssl_ciphers", "HIGH:!aNULL"), /knows OpenSSL's names of suites, not "HIGH"/);
      assert.match(await refused("ssl_protocols", "TLSv1.1"), /knows TLSv1\.2 and TLSv1\.3, not "TLSv1\.1"/);
    });

    it("answers at the Admin API only subjects that its snippet names, after the certificate and before the key", async () => {
      const subject = new X509Certificate(pems["admin-client.crt"]!).subject.split("\n").reverse().join(",");
      const named = (subject: string): Patch => [
        "nginx_config.http_admin_configuration_snippet",
        `if ($ssl_client_s_dn !~ "^(?:${subject})$") { return 403; }\n`,
      ];
      const statuses = async () => {
        const asked: Partial<Call>[] = [{}, { headers: {} }];
        const others = ["user-client", "user-wrongca"].map((leaf) => ({ agent: keptAlive(leaf, "apisix-admin") }));
        const answers = [...asked, ...others].map((more) => admin("GET", "routes", undefined, more));
        return (await Promise.all(answers)).map(({ status }) => status);
      };
      await restart([named(`CN=someone|${subject}`)]);
      assert.deepEqual(await statuses(), [200, 401, 403, 400]);
      await restart([named("CN=someone")]);
      assert.deepEqual(await statuses(), [403, 403, 403, 400]);
      await restart();
    });

    it("offers the curves that its snippets name, on the gateway and the Admin API separately, and OpenSSL's by default", async () => {
      const candidates = ["X25519", "prime256v1", "secp384r1", "secp521r1"];
      const offered = async (port: number, client: tls.ConnectionOptions) => {
        const takes = (ecdhCurve: string) =>
          connected(port, { ...client, ecdhCurve }).then(
            (socket) => Boolean(socket.destroy()),
            () => false,
          );
        const curves = [];
        for (const curve of candidates) if (await takes(curve)) curves.push(curve);
        return curves;
      };
      const both = async (...patches: Patch[]) => {
        await restart(patches);
        await gateway();
        await put("ssls/g1", site(clientsOf("ca")));
        return [
          await offered(ports.https, clientOf("user-client", "gw.local")),
          await offered(ports.admin, clientOf("admin-client", "apisix-admin")),
        ];
      };
      assert.deepEqual(await both(), [candidates, candidates]);
      assert.deepEqual(
        await both(
          ["nginx_config.http_server_configuration_snippet", "ssl_ecdh_curve X25519:secp384r1;"],
          ["nginx_config.http_admin_configuration_snippet", "ssl_ecdh_curve prime256v1;"],
        ),
        [["X25519", "secp384r1"], ["prime256v1"]],
      );
      await restart();
    });

    it("runs headers.set of response-rewrite, and says what it does not run", async () => {
      const answers = async (plugins: object) => {
        await put("routes/p", { ...way("/p"), plugins });
        const { status, headers, text } = await call({ port: ports.http, path: "/p" });
        return [status, status === 200 ? headers["x-set"] : text.trim()];
      };
      const set = { "x-set": "yes" };
      const refused = (name: string) => [500, `stand-in: the plugin ${name} with these settings is not implemented`];
      assert.deepEqual(await answers({ "response-rewrite": { headers: { set } } }), [200, "yes"]);
      for (const settings of [{ body: "" }, { headers: { set, remove: ["x"] } }, { headers: { set: { a: "$host" } } }])
        assert.deepEqual(await answers({ "response-rewrite": settings }), refused("response-rewrite"));
      assert.deepEqual(await answers({ echo: { body: "" } }), refused("echo"));
    });

    it("runs a global rule on every route, and refuses a second rule with the same plugin", async () => {
      const rule = (header: string) => ({
        plugins: { "response-rewrite": { headers: { set: { [header]: "rule" } } } },
      });
      const seenOn = async (path: string) => {
        const { headers } = await call({ port: ports.http, path });
        return [headers["x-rule"], headers["x-set"]];
      };
      await put("routes/p", {
        ...way("/p"),
        plugins: { "response-rewrite": { headers: { set: { "x-set": "yes" } } } },
      });
      await put("routes/q", way("/q"));
      await put("global_rules/one", rule("x-rule"));
      await until("the rule", async () => (await seenOn("/q"))[0] === "rule");
      assert.deepEqual(
        [await seenOn("/q"), await seenOn("/p")],
        [
          ["rule", undefined],
          ["rule", "yes"],
        ],
      );
      const second = await admin("PUT", "global_rules/two", rule("x-other"));
      assert.deepEqual(
        [second.status, jsonOf(second)],
        [400, { error_msg: "plugin 'response-rewrite' already exists in global rule with id 'one'" }],
      );
      await admin("DELETE", "global_rules/one");
      await until("no rule", async () => (await seenOn("/q"))[0] === undefined);
    });

    it("runs a plugin config on the routes that name it, unless they configure the plugin themselves", async () => {
      const setting = (value: string) => ({
        plugins: { "response-rewrite": { headers: { set: { "x-set": value } } } },
      });
      await put("plugin_configs/pc", setting("shared"));
      await put("routes/p", { ...way("/p"), plugin_config_id: "pc" });
      await put("routes/q", { ...way("/q"), plugin_config_id: "pc", ...setting("own") });
      const seenOn = async (path: string) => (await call({ port: ports.http, path })).headers["x-set"];
      assert.deepEqual([await seenOn("/p"), await seenOn("/q")], ["shared", "own"]);
    });

    it("takes a key that does not start with --- for ciphertext, and keeps other text around PEM (case 12)", async () => {
      const { cert = "", key = "", snis } = site();
      const answer = async (fields: object) => {
        const { status, text } = await admin("PUT", "ssls/pem", { cert, key, snis, ...fields });
        return status < 300 ? "taken" : (JSON.parse(text) as { error_msg: string }).error_msg;
      };
      const refused = "failed to decrypt previous encrypted key";
      for (const before of ["\n", "\ufeff", "Bag Attributes\n    friendlyName: x\n"])
        assert.equal(await answer({ key: before + key }), refused);
      for (const fields of [
        { key: key.replaceAll("\n", "\r\n") },
        { cert: `subject=CN = x\n${cert}` },
        { key: cert + key },
      ])
        assert.equal(await answer(fields), "taken", JSON.stringify(fields).slice(0, 60));
      await admin("DELETE", "ssls/pem");
    });

    it("picks among routes with the same path by their conditions", async () => {
      await put("routes/p", {
        ...way("/p"),
        priority: 1,
        vars: [
          ["arg_shop", "==", "open"],
          ["http_x_team", "~~", "^a"],
        ],
      });
      const answer = async (path: string, team: string) =>
        (await call({ port: ports.http, path, headers: { "x-team": team } })).status;
      assert.deepEqual(
        [await answer("/p?shop=open", "abc"), await answer("/p?shop=open", "bcd"), await answer("/p", "abc")],
        [200, 404, 404],
      );
      const refused = async (vars: unknown) => (await admin("PUT", "routes/x", { ...way("/x"), vars })).status;
      assert.deepEqual(
        [await refused([["cookie_x", "==", "1"]]), await refused([["OR", ["uri", "==", "/"]]])],
        [501, 501],
      );
    });

    it("evaluates conditions on the client's subject", async () => {
      await put("ssls/g1", site(clientsOf("ca")));
      const { subject } = new X509Certificate(pems["user-client.crt"]!);
      const name = subject.split("\n").reverse().join(",");
      const seenWith = async (wanted: string) => {
        await put("routes/p", { ...way("/p"), vars: [["ssl_client_s_dn", "==", wanted]] });
        return (await gatewayCall("user-client", { path: "/p" })).status;
      };
      assert.deepEqual([await seenWith(name), await seenWith("CN=another")], [200, 404]);
    });

    it("answers the clients on a route's list, and refuses others on a route of lower priority without an upstream", async () => {
      await put("ssls/g1", site(clientsOf("ca")));
      const abort = { http_status: 403, body: "not on the list\n" };
      const refusal = (settings: object) => ({ uri: "/p", priority: -1, plugins: { "fault-injection": settings } });
      await put("routes/others", refusal({ abort }));
      const { subject } = new X509Certificate(pems["user-client.crt"]!);
      const name = subject.split("\n").reverse().join(",");
      // One connection for all requests: a list counts for connections that were there before it.
      const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...clientOf("user-client", "gw.local") });
      const sockets = new Set<unknown>();
      agent.on("free", (socket: unknown) => sockets.add(socket));
      const seenWith = async (...vars: unknown[]) => {
        await put("routes/p", { ...way("/p"), vars });
        const { status, text } = await gatewayCall(null, { path: "/p", agent });
        return status === 200 ? status : [status, text];
      };
      const listed = (...subjects: string[]) => ["ssl_client_s_dn", "in", subjects];
      const verified = ["ssl_client_verify", "==", "SUCCESS"];
      const refused = [403, "not on the list\n"];
      assert.deepEqual(
        [
          await seenWith(verified, listed("CN=another", name)),
          await seenWith(verified, listed("CN=another")),
          await seenWith(verified, listed()),
          await seenWith(["ssl_client_verify", "==", "NONE"], listed(name)),
          await seenWith(verified, listed(name)),
        ],
        [200, refused, refused, refused, 200],
      );
      assert.equal(sockets.size, 1);
      agent.destroy();
      // Without TLS there is no client to verify.
      assert.equal((await call({ port: ports.http, path: "/p" })).status, 403);

      const unknown = [500, "stand-in: the plugin fault-injection with these settings is not implemented"];
      for (const settings of [
        { abort: { ...abort, percentage: 50 } },
        { abort: { ...abort, body: "$uri" } },
        { delay: {} },
      ]) {
        await put("routes/others", refusal(settings));
        const { status, text } = await call({ port: ports.http, path: "/p" });
        assert.deepEqual([status, text.trim()], unknown);
      }
      assert.equal(
        (await admin("PUT", "routes/x", { ...way("/x"), vars: [["ssl_client_s_dn", "in", name]] })).status,
        501,
      );
    });

    it("tells upstreams of the client that it verified, in a header that no client can set, under no name like it", async () => {
      const names = ["X-Forwarded-Client-Cert", "X_Forwarded_Client-Cert", "X_Forwarded_Client_Cert"];
      const program = join(import.meta.dirname, "../../../components/client-cert.lua");
      const client = `map $ssl_client_verify $who { default ""; SUCCESS 'Subject="$ssl_client_s_dn";Cert="$ssl_client_escaped_cert"'; }`;
      await restart([
        ["nginx_config.http_configuration_snippet", `map $host $leaves { default ""; }\n${client}\n`],
        [
          "nginx_config.http_server_location_configuration_snippet",
          `set_by_lua_file $der ${program};\nmore_set_input_headers "Client-Cert: $der";\n` +
            names.map((name, index) => `more_set_input_headers "${name}: ${index === 0 ? "$who" : ""}";`).join("\n"),
        ],
      ]);
      await gateway();
      await put("ssls/g1", site(clientsOf("ca")));
      const told = http.createServer(({ rawHeaders, headers }, response) => {
        const about = rawHeaders.filter((name) => /^x.forwarded.client.cert$/i.test(name));
        response.end(JSON.stringify([about.length, headers["x-forwarded-client-cert"], headers["client-cert"]]));
      });
      told.listen(0, "127.0.0.1");
      await once(told, "listening");
      const nodes = { [`127.0.0.1:${(told.address() as AddressInfo).port}`]: 1 };
      // It is there before a route is chosen: no route can be had with a forged one.
      const upstream = { type: "roundrobin", nodes };
      await put("routes/p", { uri: "/p", upstream });
      await put("routes/forged", {
        uri: "/p",
        upstream,
        priority: 1,
        vars: [["http_x_forwarded_client_cert", "~~", "forged"]],
      });
      const claimed = [...names, "Client-Cert"];
      const headers = { host: "gw.local", ...Object.fromEntries(claimed.map((name) => [name, "forged"])) };
      const leaf = new X509Certificate(pems["user-client.crt"]!);
      const subject = leaf.subject.split("\n").reverse().join(",");
      const seen = async (answer: Promise<Answer>) => jsonOf(await answer);
      assert.deepEqual(await seen(gatewayCall("user-client", { path: "/p", headers })), [
        1,
        `Subject="${subject}";Cert="${encodeURIComponent(leaf.toString())}"`,
        `:${leaf.raw.toString("base64")}:`,
      ]);
      // Nobody is verified without TLS.
      assert.deepEqual(await seen(call({ port: ports.http, path: "/p", headers })), [0, null, null]);
      told.close();
      await restart();

      const refused = async (key: string, value: string) =>
        (await spawnApisix(join(folder, "other"), configYaml(ports, file, [[`nginx_config.${key}`, value]])).ended)
          .output;
      const location = "http_server_location_configuration_snippet";
      assert.match(await refused(location, 'more_set_input_headers "A: $who";'), /unknown "who" variable/);
      assert.match(
        await refused(location, `set_by_lua_file $der ${program}; more_set_input_headers "A: $other";`),
        /unknown "other"/,
      );
      const changed = join(folder, "changed.lua");
      writeFileSync(changed, `${readFileSync(program, "utf8")}\n`);
      assert.match(await refused(location, `set_by_lua_file $der ${changed};`), /one program in Lua, by its digest/);
      assert.match(await refused(location, 'more_set_input_headers "A: b";'), /does not know the directive or value/);
      assert.match(await refused(location, 'more_clear_input_headers "A";'), /does not know the directive or value/);
      assert.match(
        await refused("http_configuration_snippet", client.replace("$ssl_client_s_dn", "$host")),
        /one of \$ssl_client_verify to a verified client's subject/,
      );
    });

    it("lets WebSockets through if a route says so", async () => {
      const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
      const chat = http.createServer((_request, response) => response.writeHead(426).end());
      chat.on("upgrade", (_request, socket) => void socket.end(switched)).listen(0, "127.0.0.1");
      await once(chat, "listening");
      const nodes = { [`127.0.0.1:${(chat.address() as AddressInfo).port}`]: 1 };
      const answers = async (enable_websocket: boolean) => {
        await put("routes/p", { uri: "/p", upstream: { type: "roundrobin", nodes }, enable_websocket });
        const headers = { connection: "upgrade", upgrade: "websocket" };
        const request = http.request({ host: "127.0.0.1", port: ports.http, path: "/p", headers }).end();
        const [{ statusCode }, socket] = (await Promise.race([
          once(request, "upgrade"),
          once(request, "response"),
        ])) as [http.IncomingMessage, Duplex | undefined];
        socket?.destroy();
        return statusCode;
      };
      assert.deepEqual([await answers(true), await answers(false)], [101, 426]);
      chat.close();
    });

    it("takes the recorded schema's fields for retries, health checks and pools, and enforces their bounds", async () => {
      const upstream = (fields: object) => ({ ...(live(plainUpstream) as object), ...fields });
      const checks = { active: { type: "tcp", healthy: { interval: 1 }, unhealthy: { tcp_failures: 3 } }, passive: {} };
      await put(
        "upstreams/u",
        upstream({ retries: 2, retry_timeout: 1.5, checks, keepalive_pool: { size: 4, idle_timeout: 5 } }),
      );
      const refused = async (fields: object) => jsonOf(await admin("PUT", "upstreams/u", upstream(fields)));
      assert.deepEqual(await refused({ checks: { active: { unhealthy: { tcp_failures: 0 } } } }), {
        error_msg:
          'invalid configuration: property "checks" validation failed: property "active" validation failed: property "unhealthy" validation failed: property "tcp_failures" validation failed: expected 0 to be at least 1',
      });
      assert.deepEqual(await refused({ keepalive_pool: { size: 0 } }), {
        error_msg:
          'invalid configuration: property "keepalive_pool" validation failed: property "size" validation failed: expected 0 to be at least 1',
      });
    });

    it("answers the first request on a connection that is open when told to quit", async () => {
      const socket = await connected(ports.https, clientOf("user-client", "gw.local"));
      const ended = apisix.stop("SIGQUIT");
      await sleep(200);
      socket.write("GET /plain HTTP/1.1\r\nhost: gw.local\r\n\r\n");
      assert.match(String((await once(socket, "data"))[0]), /^HTTP\/1.1 200/);
      socket.destroy();
      assert.equal((await ended).code, 0);
      await start([["nginx_config.http_server_configuration_snippet", "keepalive_time 1s;"]]);
    });

    it("closes a connection after the next response once keepalive_time is over", async () => {
      const keeping = keptAlive("user-client", "gw.local");
      const closes = async () => (await gatewayCall(null, { agent: keeping })).headers.connection === "close";
      assert.deepEqual([await closes(), await sleep(1100).then(closes)], [false, true]);
      keeping.destroy();
      await restart();
    });

    it("closes an Admin connection after 1,000 requests", async () => {
      const keeping = keptAlive("admin-client", "apisix-admin");
      for (let i = 1; i <= 1000; i++) {
        const { headers } = await call({ port: ports.admin, path: "/apisix/admin", agent: keeping });
        assert.equal(headers.connection === "close", i === 1000, `request ${i}`);
      }
      keeping.destroy();
    });

    it("reads the etcd client leaf again for each new connection", async () => {
      install("live-etcd", "admin-client");
      agent.destroy();
      await hangup();
      assert.equal(summary(await admin("GET", "routes")), "(503, 'has no healthy etcd endpoint available')");
      install("live-etcd", "etcd-client");
      await until("recovery", async () => (await admin("GET", "routes")).status === 200);
    });

    it("asks etcd again health_check_timeout after it failed", async () => {
      await restart([["deployment.etcd.health_check_timeout", 1]]);
      await etcd.stop();
      assert.equal(summary(await admin("GET", "routes")), "(503, 'has no healthy etcd endpoint available')");
      etcd = await startEtcd(folder, ports, file);
      const start = performance.now();
      await until("recovery", async () => (await admin("GET", "routes")).status === 200);
      const took = performance.now() - start;
      assert.ok(took < 9_000, `it took ${took} ms, as if it were not set`);
      await restart();
    });

    const leavesMap: Patch = ["nginx_config.http_configuration_snippet", 'map $host $leaves { default ""; }'];

    it("reads the Admin API's leaf at each handshake if its path contains a variable", async () => {
      await restart([
        leavesMap,
        ["deployment.admin.admin_api_mtls.admin_ssl_cert", `$leaves${file("live-admin.crt")}`],
        ["deployment.admin.admin_api_mtls.admin_ssl_cert_key", `$leaves${file("live-admin.key")}`],
      ]);
      const presented = async () => {
        const socket = await connected(ports.admin, clientOf("admin-client", "apisix-admin"));
        const { CN } = socket.getPeerCertificate().subject as { CN: string };
        socket.destroy();
        return CN;
      };
      const refused = (): Promise<string> =>
        presented().catch((error: Error) => /SSL alert number (\d+)/.exec(error.message)?.[1] ?? error.message);
      const keeping = keptAlive("admin-client", "apisix-admin");
      const kept = async () => (await admin("GET", "routes", undefined, { agent: keeping })).status;
      assert.deepEqual([await presented(), await kept()], ["apisix-admin", 200]);
      install("live-admin", "apisix-admin-rotated");
      assert.equal(await presented(), "apisix-admin-rotated");
      writeFileSync(file("live-admin.key"), pems["apisix-admin.key"] ?? "");
      assert.equal(await refused(), "80");
      rmSync(file("live-admin.key"));
      assert.equal(await refused(), "80");
      assert.equal(await kept(), 200, "an open connection keeps working");
      install("live-admin", "apisix-admin");
      assert.equal(await presented(), "apisix-admin");
      keeping.destroy();
    });

    it("presents the location snippet's leaf to upstreams, as its files are now, unless they name a certificate", async () => {
      const shownLeaf = (name: string) =>
        [
          `proxy_ssl_certificate $leaves${file(`${name}.crt`)};`,
          `proxy_ssl_certificate_key $leaves${file(`${name}.key`)};`,
        ].join("\n");
      install("live-upstream", "upstream-client");
      await restart([
        leavesMap,
        ["nginx_config.http_server_location_configuration_snippet", shownLeaf("live-upstream")],
      ]);
      await wipe();
      await put("ssls/own", { type: "client", cert: pems["user-client.crt"], key: pems["user-client.key"] });
      const upstream = { ...plainUpstream, scheme: "https", nodes: { "127.0.0.1:18443": 1 } };
      await put("routes/u", { uri: "/u", upstream: live(upstream) });
      await put("routes/own", { uri: "/own", upstream: live({ ...upstream, tls: { client_cert_id: "own" } }) });
      const sees = async (path: string) => {
        const answer = await call({ port: ports.http, path });
        return answer.status === 200 ? (jsonOf(answer) as { client_dn: string }).client_dn : answer.status;
      };
      assert.deepEqual(
        [await sees("/u"), await sees("/own")],
        ["O=ref,CN=apisix-upstream-client", "O=ref,CN=user-client"],
      );
      install("live-upstream", "admin-client");
      assert.equal(await sees("/u"), "O=ref,CN=admin-client");
      // As in nginx, which loads the snippet's leaf before APISIX puts the upstream's own in its place.
      writeFileSync(file("live-upstream.key"), pems["user-client.key"] ?? "");
      assert.deepEqual([await sees("/u"), await sees("/own")], [500, 500]);
      rmSync(file("live-upstream.crt"));
      assert.equal(await sees("/u"), 500);
      install("live-upstream", "upstream-client");
      assert.equal(await sees("/u"), "O=ref,CN=apisix-upstream-client");
      await restart();
    });

    it("with auth: needs user and password, and a client leaf without a CN", async () => {
      const asUser: Patch[] = [
        ["deployment.etcd.user", "apisix"],
        ["deployment.etcd.password", "pw-apisix"],
      ];
      await apisix.stop();
      const early = await spawnApisix(folder, configYaml(ports, file, asUser)).ended;
      assert.equal(early.code, 1);
      assert.match(early.output, /authentication is not enabled/);

      const key = Buffer.from("/apisix").toString("base64");
      const end = Buffer.from("/apisiy").toString("base64");
      await auth("user/add", { name: "root", password: "pw-root" });
      await auth("user/grant", { user: "root", role: "root" });
      await auth("role/add", { name: "apisix" });
      await auth("role/grant", { name: "apisix", perm: { permType: "READWRITE", key, range_end: end } });
      await auth("user/add", { name: "apisix", password: "pw-apisix" });
      await auth("user/grant", { user: "apisix", role: "apisix" });
      await auth("enable", {});

      const anonymous = await spawnApisix(folder, configYaml(ports, file, [])).ended;
      assert.equal(anonymous.code, 1);
      install("live-etcd", "etcd-client-cn");
      const named = await spawnApisix(folder, configYaml(ports, file, asUser)).ended;
      assert.equal(named.code, 1, named.output);
      install("live-etcd", "etcd-client");
      await start(asUser);
      assert.equal((await admin("GET", "routes")).status, 200);

      const { token } = await auth("authenticate", { name: "root", password: "pw-root" });
      await etcd.stop("SIGKILL"); // etcd forgets its simple tokens
      etcd = await startEtcd(folder, ports, file);
      await until("writes after a restart of etcd", async () => {
        return (await admin("PUT", "routes/plain", way("/plain"))).status < 300;
      });
      assert.ok(token);
    });

    it("says what it is, and refuses unknown directives and a second trusted certificate by name", async () => {
      assert.match(apisix.output, /^apisix stand-in 3\.18\.0 \(mtls-everywhere lab\): not Apache APISIX\n/);
      const snippet = async (where: string, text: string) => {
        const ended = await spawnApisix(
          join(folder, "other"),
          configYaml(ports, file, [[`nginx_config.${where}`, text]]),
        ).ended;
        return `${ended.code} ${ended.output}`;
      };
      assert.match(await snippet("http_server_configuration_snippet", "lua_code_cache off;"), /^1 [^]*lua_code_cache/);
      const trusted = `proxy_ssl_trusted_certificate ${file("ca.crt")};`;
      assert.match(await snippet("http_server_configuration_snippet", trusted), /^1 [^]*duplicate/);
      for (const ofTemplate of ["ssl_session_tickets off;", "ssl_ciphers HIGH;"])
        assert.match(await snippet("http_server_configuration_snippet", ofTemplate), /^1 [^]*duplicate/);
      const curves = (text: string) => snippet("http_admin_configuration_snippet", text);
      assert.match(
        await curves("ssl_ecdh_curve X448;"),
        /^1 [^]*does not know the directive or value "ssl_ecdh_curve X448"/,
      );
      assert.match(
        await curves("ssl_ecdh_curve X25519; ssl_ecdh_curve X25519;"),
        /^1 [^]*"ssl_ecdh_curve" directive is dup/,
      );
      assert.match(
        await snippet("http_configuration_snippet", "map $host $x { default a; }"),
        /^1 [^]*only a map of \$host to an empty variable/,
      );
      const shownLeaf = (path: string) =>
        snippet(
          "http_server_location_configuration_snippet",
          `proxy_ssl_certificate ${path}.crt; proxy_ssl_certificate_key ${path}.key;`,
        );
      assert.match(await shownLeaf(file("live-admin")), /^1 [^]*only with a variable in their paths/);
      assert.match(await shownLeaf("$leaves/x"), /^1 [^]*unknown "leaves" variable/);
      assert.match(await shownLeaf("/x$leaves/x"), /^1 [^]*only at the beginning/);
    });

    it("never prints a key or a password", () => {
      for (const secret of [adminKey, "pw-apisix", "PRIVATE KEY"])
        assert.equal(apisix.output.includes(secret), false, secret);
    });
  });

  // ---------- observed behaviour

  async function answersPlainly(port: number, recorded: Recorded): Promise<void> {
    assert.deepEqual(seen(await call({ port, path: "/apisix/admin/routes" }), false), expectedOf(recorded));
  }

  async function hangup(): Promise<void> {
    const marks = () => apisix.output.split("signal hangup").length;
    const before = marks();
    apisix.child.kill("SIGHUP");
    await until("SIGHUP seen", async () => marks() > before);
    await sleep(1200); // with etcd down, the new worker first waits for it in vain
  }

  function concurrency(): Topic["behaviours"] {
    const ids = (count: number) => Array.from({ length: count }, (_, i) => i);
    const overtaken = "(503, 'value changed before overwritten')";
    let left: [string[], string[]] = [[], ["nothing was sent"]];
    const route = { uri: "/c", upstream: plainUpstream };
    const all = (count: number, one: (i: number) => Promise<Answer>) => Promise.all(ids(count).map(one)).then(tally);
    return [
      [
        /parallel PUT of the same/,
        async ({ observed }) => assert.deepEqual(await all(16, () => admin("PUT", "routes/c", route)), observed),
      ],
      [
        /parallel PATCH/,
        async () => {
          await put("routes/c", route);
          const label = (i: number) => admin("PATCH", "routes/c", { labels: { [`k${i}`]: "x" } });
          const answers = await Promise.all(ids(16).map(label));
          // How many come too late is chance; that every loss is reported, and nothing else is lost, is not.
          const written = answers.flatMap(({ status }, i) => (status === 200 ? [`k${i}`] : []));
          const late = answers.filter(({ status }) => status !== 200);
          assert.ok(written.length > 0);
          assert.deepEqual(new Set(late.map(summary)), new Set(late.length > 0 ? [overtaken] : []));
          const { value } = jsonOf(await admin("GET", "routes/c")) as { value: { labels: object } };
          left = [Object.keys(value.labels).sort(), written.sort()];
        },
      ],
      [/labels left after the 16 PATCHes/, async () => assert.deepEqual(left[0], left[1])],
      [
        /parallel DELETE/,
        async ({ observed }) => assert.deepEqual(await all(16, () => admin("DELETE", "routes/c")), observed),
      ],
      [
        /distinct ids/,
        async ({ observed }) => assert.deepEqual(await all(32, (i) => admin("PUT", `routes/c${i}`, route)), observed),
      ],
    ];
  }

  async function slowUpstream(recorded: Recorded): Promise<void> {
    const pending = call({ port: ports.http, path: "/slow-body" });
    await sleep(400);
    assert.ok(recorded.name.endsWith("SIGHUP"));
    await hangup();
    const { status, text } = await pending;
    assert.deepEqual([status, text.length], [200, 60_000]);

    // `apisix quit` sends SIGQUIT and `apisix stop` SIGTERM: the former lets the request finish, the latter cuts it off.
    const graceful = call({ port: ports.http, path: "/slow-body" });
    await sleep(300);
    const ended = await apisix.stop("SIGQUIT");
    assert.equal((await graceful).text.length, 60_000);
    assert.equal(ended.code, 0);
    await start();
    const cut = call({ port: ports.http, path: "/slow-body" });
    await sleep(300);
    await Promise.all([assert.rejects(cut), apisix.stop("SIGTERM")]);
    await start();
  }

  async function rotations(): Promise<void> {
    const serials: { at: number; CN: string }[] = [];
    let running = true;
    const loops = [0, 1, 2].map(async () => {
      while (running) {
        let CN = "";
        const checkServerIdentity = (_: string, { subject }: tls.PeerCertificate) => void (CN = String(subject["CN"]));
        const at = Date.now();
        assert.equal((await gatewayCall("user-client", {}, { checkServerIdentity })).status, 200);
        serials.push({ at, CN });
      }
    });
    for (let turn = 0; turn < 4; turn++) {
      const leaf = turn % 2 ? "gateway" : "gateway-rotated";
      await admin("PUT", "ssls/g1", { ...site(clientsOf("ca")), cert: pems[`${leaf}.crt`], key: pems[`${leaf}.key`] });
      const answered = Date.now();
      await sleep(250);
      // Recorded: the new certificate at most 61 ms after the response, to connections that begin then.
      for (const { at, CN } of serials) if (at > answered + 100) assert.equal(CN, leaf);
      serials.length = 0;
    }
    running = false;
    await Promise.all(loops);
  }

  async function keepsAlive(recorded: Recorded): Promise<void> {
    const deleted = recorded.name.includes("deleted");
    await put("ssls/g1", site(clientsOf("ca")));
    const keeping = keptAlive("user-client", "gw.local");
    const first = await gatewayCall(null, { agent: keeping });
    if (deleted) await admin("DELETE", "ssls/g1");
    else await put("ssls/g1", site(clientsOf("ca2")));
    await sleep(60);
    const second = await gatewayCall(null, { agent: keeping });
    keeping.destroy();
    assert.deepEqual({ before: first.status, after: second.status }, recorded.observed);
  }

  const gatewayIsFine = async () => {
    assert.equal((await call({ port: ports.http, path: "/plain" })).status, 200);
    assert.equal((await gatewayCall("user-client")).status, 200);
  };

  async function outage(recorded: Recorded): Promise<void> {
    await etcd.stop("SIGKILL");
    const down =
      (recorded.observed as Record<string, Record<string, { status: number; body: unknown }>>)["0.5s down"] ?? {};
    for (const [request, expected] of Object.entries(down)) {
      const [method, path] = request.split(" /") as [string, string];
      const bodies: Record<string, unknown> = { PUT: way("/plain"), PATCH: { desc: "x" } };
      const answer = await admin(method, path, bodies[method]);
      assert.deepEqual([answer.status, jsonOf(answer)], [expected.status, expected.body]);
    }
    await gatewayIsFine();
    etcd = await startEtcd(folder, ports, file);
    // Recorded: an endpoint counts as unhealthy for 10 s.
    await until("the Admin API", async () => (await admin("GET", "routes")).status === 200);
    await gatewayIsFine();
  }

  async function restartedAtOnce(): Promise<void> {
    await etcd.stop("SIGKILL");
    etcd = await startEtcd(folder, ports, file);
    await gatewayIsFine();
    await until("a write", async () => (await admin("PUT", "routes/new", way("/new"))).status < 300);
    await until("the new route", async () => (await call({ port: ports.http, path: "/new" })).status === 200);
  }

  async function reloadWithoutEtcd(): Promise<void> {
    await etcd.stop("SIGKILL");
    await hangup();
    assert.equal((await call({ port: ports.http, path: "/plain" })).status, 404);
    assert.equal(await alertOf(gatewayCall("user-client")), "80");
    assert.equal((await call({ port: ports.status, path: "/status/ready" })).status, 503);
    etcd = await startEtcd(folder, ports, file);
    await until("the old route", async () => (await call({ port: ports.http, path: "/plain" })).status === 200);
    await until("the Admin API", async () => (await admin("GET", "routes")).status === 200);
  }

  async function startsAsRecorded(recorded: Recorded): Promise<void> {
    const observed = recorded.observed as {
      patch?: [string, unknown][];
      init_rc?: number;
      init_output?: string;
      start?: [number, string];
      start_rc?: number;
      probe?: unknown;
    };
    const patches = (observed.patch ?? []).map(([path, value]): Patch => [path, replaced(value)]);
    const environment: NodeJS.ProcessEnv = recorded.name.startsWith("unset env")
      ? { REF_ADMIN_KEY: undefined }
      : { NUMKEY: "123456" };
    if (recorded.name.includes("verify true, no sni")) patches.push(["deployment.etcd.tls.sni", undefined]);
    if (recorded.name === "etcd client cert missing in config (etcd demands one)") patches.length = 0;
    if (recorded.name === "etcd client cert missing in config (etcd demands one)")
      patches.push(["deployment.etcd.tls", { verify: true, sni: "etcd.local" }]);
    await apisix.stop();
    agent.destroy();
    const fails =
      observed.init_rc === 1 ||
      observed.start_rc === 1 ||
      observed.start?.[0] === 1 ||
      /unknown key/.test(recorded.name);
    if (fails) {
      const ended = await spawnApisix(folder, configYaml(ports, file, patches), environment).ended;
      assert.equal(ended.code, 1, ended.output);
      if (/unknown key/.test(recorded.name)) assert.match(ended.output, /deployment\.admin\.nosuch[^]*|apisix\.nosuch/);
      else if (/wrong type/.test(recorded.name)) assert.match(ended.output, /https_admin/);
      else if (observed.init_output) assert.ok(ended.output.includes(observed.init_output), ended.output);
      else assert.match(ended.output, /all etcd nodes are unavailable/);
      await start();
      return;
    }
    await start(patches, environment);
    const probes = probesOf(recorded.name, observed.probe);
    assert.ok(probes.length > 0, "nothing was probed");
    for (const [key, expected] of probes) {
      const bare = key === "no client cert";
      const headers: Record<string, string> =
        key === "no key" || key === "" ? {} : { "x-api-key": bare ? adminKey : key };
      const answer = await admin("GET", "routes", undefined, {
        headers,
        ...(bare ? { agent: undefined as never, tls: { ...trusting(), servername: "apisix-admin" } } : {}),
      });
      assert.equal(answer.status, expected[0], key);
      if (expected[0] >= 400 && typeof expected[1] === "object") assert.deepEqual(jsonOf(answer), expected[1]);
      if (typeof expected[1] === "string") assert.ok(answer.text.startsWith(expected[1]), answer.text);
    }
    await restart();
  }

  /** Values of recorded patches hold the recorder's paths. */
  function replaced(value: unknown): unknown {
    return typeof value === "string" ? value.replace(/^<PREFIX>.*\//, `${folder}/tls/`) : value;
  }

  /** Which key is used for which probe, by case. */
  function probesOf(name: string, probe: unknown): [string, [number, unknown]][] {
    if (Array.isArray(probe)) {
      const key = name.includes(":=dflt") ? "dflt-key" : name.startsWith("numeric") ? "123456" : adminKey;
      return [[key, probe as [number, unknown]]];
    }
    return Object.entries((probe ?? {}) as Record<string, [number, unknown]>).map(([what, expected]) => {
      const keys: Record<string, string> = {
        "with env value": adminKey,
        "with the literal string": "$env://REF_ADMIN_KEY",
        "wrong key": "wrong",
      };
      return [keys[what] ?? what, expected];
    });
  }
});
