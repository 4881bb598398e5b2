// A platform on this machine: real etcd, APISIX or its stand-in, and a server that refuses as nginx does. It can be broken on purpose.

import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import type http from "node:http";
import https from "node:https";
import type { createServer } from "node:net";
import { type AddressInfo, connect as dial, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type tls from "node:tls";

import { type KeyPair } from "../../../cluster-access/certificates.ts";
import { type ClientTls, handshake } from "../../../cluster-access/handshake.ts";
import { until } from "../../../cluster-access/until.ts";
import { adminCallersSnippet } from "../../../components/adminCallers.ts";
import { clientCertificate } from "../../../components/apisixConfig.ts";
import {
  certificateHeader,
  forwardedHeader,
  forwardedMap,
  forwardedSnippet,
} from "../../../components/forwardedIdentity.ts";
import { allowedBy } from "../../../components/gateway/allowed.ts";
import { freePort } from "../../../lab/ports.ts";
import type { PlatformOutputs } from "../../../outputs.ts";
import type { PlatformAccess } from "../../../tools/verify/access.ts";
import type { CertificateSource, LeafOrder } from "../../../tools/verify/certificates.ts";
import { spiffeId } from "../../../vocabulary/identities.ts";
import { type Plane, planes } from "../../../vocabulary/planes.ts";
import type { PodPort, SecretRef } from "../../../vocabulary/references.ts";
import { clientPolicy, openSslSuites, standardSuites } from "../../../vocabulary/tlsPolicy.ts";
import { Authority } from "../../support/authorities.ts";
import { byPlane } from "../../support/outputs.ts";
import { programPath } from "../../support/programs.ts";

/** What is wrong with the platform; by default nothing. */
export interface Faults {
  /** One certificate authority signs for every plane. */
  readonly oneAuthority?: boolean;
  /** No server asks its clients for a certificate. */
  readonly anonymousClients?: boolean;
  /** etcd has no users: whoever gets in may do anything. */
  readonly noStoreUsers?: boolean;
  /** etcd lets APISIX's user read every key. */
  readonly unlimitedStoreUser?: boolean;
  /** APISIX looks for the upstream where something else listens. */
  readonly unreachableUpstream?: boolean;
  /** APISIX does not verify upstreams. */
  readonly unverifiedUpstreams?: boolean;
  /** Every server resumes TLS sessions. */
  readonly resumedSessions?: boolean;
  /** The upstream answers anyone with a certificate from its plane. */
  readonly anyCaller?: boolean;
  /** The Admin API answers every client of the admin plane. */
  readonly anyAdminClient?: boolean;
  /** APISIX passes on what clients say of themselves. */
  readonly forgeable?: boolean;
  /** Servers take suites without authenticated encryption, and the upstream TLS 1.1. */
  readonly weakTls?: boolean;
  /** Every server has a certificate for `not-served.invalid` too. */
  readonly anyName?: boolean;
  /** The route is for every Host. */
  readonly anyHost?: boolean;
  /** The upstream has the intermediate that its callers must send. */
  readonly knownIntermediate?: boolean;
}

/** What may differ among right platforms. */
export interface Form {
  /** Leaves are signed by an intermediate. */
  readonly intermediates?: boolean;
  /** The platform's own host answers the leaf of this service account alone. By default every client may call, as in release 0.1. */
  readonly client?: string;
  /** The stack has issued the client no certificate. */
  readonly unissued?: boolean;
  /** The gateway's own certificate is another authority's. */
  readonly foreign?: boolean;
}

/** Why the platform cannot run on this machine; undefined if it can. */
export function missing(): string | undefined {
  const absent = ["etcd", "apisix"].filter((name) => programPath(name) === undefined);
  return absent.length > 0 ? `no ${absent.join(" and no ")}: set LAB_BIN to a folder that holds them` : undefined;
}

export class LocalPlatform {
  readonly outputs: PlatformOutputs;
  readonly access: PlatformAccess;
  readonly certificates: CertificateSource;
  /** Calls the Admin API with the right credentials. */
  readonly admin: (method: string, path: string, body?: object) => Promise<{ status: number; body: string }>;
  readonly #stop: () => Promise<void>;

  private constructor(
    parts: Pick<LocalPlatform, "outputs" | "access" | "certificates" | "admin">,
    stop: () => Promise<void>,
  ) {
    ({ outputs: this.outputs, access: this.access, certificates: this.certificates, admin: this.admin } = parts);
    this.#stop = stop;
  }

  stop(): Promise<void> {
    return this.#stop();
  }

  static async start(faults: Faults & Form = {}): Promise<LocalPlatform> {
    const folder = await mkdtemp(join(tmpdir(), "verify-"));
    const processes: ChildProcess[] = [];
    const servers: https.Server[] = [];
    const stop = async () => {
      for (const server of servers) server.close().closeAllConnections();
      await Promise.all(
        processes.map(async (process) => {
          if (process.exitCode !== null) return;
          const ended = new Promise((resolve) => process.once("exit", resolve));
          process.kill("SIGKILL");
          await ended;
        }),
      );
      await rm(folder, { recursive: true, force: true });
    };
    try {
      return new LocalPlatform(await assemble(folder, faults, processes, servers), stop);
    } catch (error) {
      await stop();
      throw error;
    }
  }
}

const user = "apisix";
const password = "store-password";
const adminKey = "admin-key";
const refusing = { plugins: { "fault-injection": { abort: { http_status: 403, body: "not on the list" } } } };
const hello = '{ "hello": "world" }\n';

async function assemble(folder: string, faults: Faults & Form, processes: ChildProcess[], servers: https.Server[]) {
  const one = await Authority.create("platform");
  const authorities = Object.fromEntries(
    await Promise.all(
      planes.map(async (plane) => [plane, faults.oneAuthority ? one : await Authority.create(plane)] as const),
    ),
  ) as Record<Plane, Authority>;
  const issuers = Object.fromEntries(
    await Promise.all(planes.map(async (plane) => [plane, await issuerOf(authorities[plane], faults)] as const)),
  ) as Record<Plane, Issuing>;
  const apisix = { trustDomain: "test", namespace: "platform", serviceAccount: "apisix" };
  const foreign = faults.foreign ? await Authority.create("public") : undefined;
  const names = (name: string) => [name, ...(faults.anyName ? ["not-served.invalid"] : [])];
  const leaves = {
    etcd: await issuers.etcd.leaf({ dnsNames: names("localhost"), usages: ["server auth", "client auth"] }),
    peer: await issuers["etcd-peer"].leaf({ dnsNames: names("localhost"), usages: ["server auth", "client auth"] }),
    store: await issuers.etcd.leaf({ uris: [spiffeId(apisix)] }),
    adminServer: await issuers.admin.leaf({ dnsNames: names("admin.test"), usages: ["server auth"] }),
    adminClient: await issuers.admin.leaf({ subject: "O=test,OU=platform,CN=deployer" }),
    gateway: await (foreign ?? issuers.edge).leaf({ dnsNames: names("gateway.test"), usages: ["server auth"] }),
    client: await issuers.edge.leaf({ subject: `O=test,OU=platform,CN=${faults.client ?? "anyone"}` }),
    upstreamServer: await issuers.upstream.leaf({ dnsNames: names("upstream.test"), usages: ["server auth"] }),
    upstreamClient: await issuers.upstream.leaf({ subject: "CN=apisix,OU=platform,O=test" }),
  };
  const file = async (name: string, text: string) => {
    await writeFile(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const pairFiles = async (name: string, { cert, key }: KeyPair) => ({
    cert: await file(`${name}.crt`, cert),
    key: await file(`${name}.key`, key),
  });
  const trustFile = (plane: Plane) => file(`${plane}-roots.crt`, authorities[plane].root);
  const ports = {
    etcd: await freePort(),
    peer: await freePort(),
    gateway: await freePort(),
    admin: await freePort(),
    plain: await freePort(),
    status: await freePort(),
  };

  // etcd
  const [client, peer] = [await pairFiles("etcd", leaves.etcd), await pairFiles("peer", leaves.peer)];
  run(processes, "etcd", [
    `--data-dir=${folder}/etcd`,
    `--listen-client-urls=https://127.0.0.1:${ports.etcd}`,
    `--advertise-client-urls=https://localhost:${ports.etcd}`,
    `--listen-peer-urls=https://127.0.0.1:${ports.peer}`,
    `--initial-advertise-peer-urls=https://localhost:${ports.peer}`,
    `--initial-cluster=default=https://localhost:${ports.peer}`,
    `--cert-file=${client.cert}`,
    `--key-file=${client.key}`,
    `--peer-cert-file=${peer.cert}`,
    `--peer-key-file=${peer.key}`,
    "--log-level=fatal",
    ...(faults.weakTls ? [] : ["--tls-min-version=TLS1.2", `--cipher-suites=${standardSuites.join(",")}`]),
    ...(faults.anonymousClients
      ? []
      : [
          `--trusted-ca-file=${await trustFile("etcd")}`,
          `--peer-trusted-ca-file=${await trustFile("etcd-peer")}`,
          "--client-cert-auth",
          "--peer-client-cert-auth",
        ]),
  ]);
  const etcd = (path: string, body: object) =>
    call({ port: ports.etcd, servername: "localhost", ca: authorities.etcd.root, ...leaves.store }, "POST", path, body);
  await answering("etcd", async () => (await etcd("/v3/kv/range", { key: "AA==" })).status === 200);
  const prefix = faults.unlimitedStoreUser
    ? { key: base64("\0"), range_end: base64("\0") }
    : { key: base64("/apisix"), range_end: base64("/apisiy") };
  for (const [path, body] of faults.noStoreUsers
    ? []
    : ([
        ["user/add", { name: "root", password: "root-password" }],
        ["user/grant", { user: "root", role: "root" }],
        ["role/add", { name: user }],
        ["role/grant", { name: user, perm: { permType: "READWRITE", ...prefix } }],
        ["user/add", { name: user, password }],
        ["user/grant", { user, role: user }],
        ["enable", {}],
      ] as const)) {
    const answer = await etcd(`/v3/auth/${path}`, body);
    if (answer.status !== 200) throw new Error(`etcd: ${path}: ${answer.body}`);
  }

  // The upstream: refuses with nginx's pages.
  const upstream = https.createServer(
    {
      ...leaves.upstreamServer,
      ca: [authorities.upstream.root, ...(faults.knownIntermediate ? issuers.upstream.above : [])],
      requestCert: !faults.anonymousClients,
      rejectUnauthorized: false,
      ...(faults.weakTls ? { minVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" } : clientPolicy),
      ...(faults.resumedSessions ? {} : { secureOptions: constants.SSL_OP_NO_TICKET }),
    },
    (request, response) => {
      const socket = request.socket as tls.TLSSocket;
      const { subject } = faults.anonymousClients ? {} : socket.getPeerCertificate();
      const page = (status: number, words: string) =>
        response.writeHead(status).end(`<html><head><title>${status} ${words}</title></head></html>`);
      if (!faults.anonymousClients && !subject) page(400, "No required SSL certificate was sent");
      else if (!faults.anonymousClients && !socket.authorized) page(400, "The SSL certificate error");
      else if (!faults.anonymousClients && !faults.anyCaller && subject?.CN !== "apisix") page(403, "Forbidden");
      else if (request.url?.startsWith("/.verify/"))
        response.end(
          [forwardedHeader, certificateHeader]
            .map((name) => `${String(request.headers[name.toLowerCase()] ?? "")}\n`)
            .join(""),
        );
      else if (request.url !== "/") page(404, "Not Found");
      else response.end(hello);
    },
  );
  servers.push(upstream);
  const upstreamPort = await listen(upstream);
  const node = { host: "localhost", port: faults.unreachableUpstream ? ports.plain : upstreamPort };

  // APISIX
  const home = join(folder, "apisix");
  await mkdir(join(home, "conf"), { recursive: true });
  await mkdir(join(home, "logs"));
  const deployer = { trustDomain: "test", namespace: "platform", serviceAccount: "deployer" };
  const sessions = faults.resumedSessions ? "" : "ssl_session_cache off;\n";
  const luaFile = await file("client-cert.lua", clientCertificate.text);
  const told = faults.forgeable ? "" : forwardedSnippet(luaFile);
  const adminFiles = await pairFiles("admin", leaves.adminServer);
  await writeFile(
    join(home, "conf/config.yaml"),
    JSON.stringify({
      apisix: {
        enable_control: false,
        enable_ipv6: false,
        node_listen: [{ ip: "127.0.0.1", port: ports.plain }],
        status: { ip: "127.0.0.1", port: ports.status },
        data_encryption: { enable_encrypt_fields: true, keyring: ["0123456789abcdef"] },
        ssl: {
          enable: true,
          listen: [{ ip: "127.0.0.1", port: ports.gateway }],
          ssl_trusted_certificate: await trustFile("etcd"),
          ...(faults.weakTls ? { ssl_ciphers: [...openSslSuites, "ECDHE-ECDSA-AES128-SHA"].join(":") } : {}),
        },
      },
      nginx_config: {
        http_server_configuration_snippet: sessions,
        http_admin_configuration_snippet:
          sessions + (faults.anyAdminClient || faults.anonymousClients ? "" : adminCallersSnippet([deployer])),
        http_configuration_snippet: forwardedMap,
        ...(faults.unverifiedUpstreams
          ? { http_server_location_configuration_snippet: told }
          : {
              http_server_location_configuration_snippet: `proxy_ssl_trusted_certificate ${await trustFile("upstream")};\nproxy_ssl_verify on;\nproxy_ssl_verify_depth 2;\n${told}`,
            }),
      },
      deployment: {
        admin: {
          admin_listen: { ip: "127.0.0.1", port: ports.admin },
          https_admin: true,
          admin_api_mtls: {
            admin_ssl_cert: adminFiles.cert,
            admin_ssl_cert_key: adminFiles.key,
            ...(faults.anonymousClients ? {} : { admin_ssl_ca_cert: await trustFile("admin") }),
          },
          admin_key: [{ name: "admin", key: adminKey, role: "admin" }],
        },
        etcd: {
          host: [`https://localhost:${ports.etcd}`],
          prefix: "/apisix",
          ...(faults.noStoreUsers ? {} : { user, password }),
          tls: { ...(await pairFiles("store", leaves.store)), verify: true },
        },
      },
    }),
  );
  run(processes, "apisix", ["--home", home]);
  const admin = (method: string, path: string, body?: object) =>
    call(
      { port: ports.admin, servername: "admin.test", ca: authorities.admin.root, ...leaves.adminClient },
      method,
      `/apisix/admin/${path}`,
      body,
      { "x-api-key": adminKey },
    );
  await answering("the Admin API", async () => (await admin("GET", "routes")).status === 200);
  for (const [path, body] of [
    [
      "ssls/site",
      {
        snis: names("gateway.test"),
        ...leaves.gateway,
        ...(faults.anonymousClients ? {} : { client: { ca: authorities.edge.root, depth: 1 } }),
      },
    ],
    ["ssls/upstream", { type: "client", ...leaves.upstreamClient }],
    [
      "routes/hello",
      {
        uri: "/",
        ...(faults.anyHost ? {} : { hosts: ["gateway.test"] }),
        ...(faults.client !== undefined && {
          vars: allowedBy([{ namespace: "platform", serviceAccount: faults.client }], ["test"]),
        }),
        upstream: {
          type: "roundrobin",
          scheme: "https",
          nodes: { [`${node.host}:${node.port}`]: 1 },
          pass_host: "rewrite",
          upstream_host: "upstream.test",
          tls: { client_cert_id: "upstream" },
        },
      },
    ],
    ...(faults.client === undefined
      ? []
      : [["routes/hello-others", { ...refusing, uri: "/", hosts: ["gateway.test"], priority: -1 }] as const]),
  ] as const) {
    const answer = await admin("PUT", path, body);
    if (answer.status !== 201) throw new Error(`APISIX: ${path}: ${answer.body}`);
  }

  const at = (serverName: string, port: number): PodPort => ({
    namespace: "platform",
    selector: "local",
    port,
    serverName,
  });
  const secret = <P extends Plane>(plane: P, name: string) => ({ plane, namespace: "platform", name });
  const trust = <P extends Plane>(plane: P) => ({ plane, namespace: "platform", name: `${plane}-trust`, key: plane });
  const issuer = <P extends Plane>(plane: P) => ({
    plane,
    kind: "Issuer" as const,
    name: plane,
    group: "cert-manager.io",
  });
  const outputs: PlatformOutputs = {
    contract: 2,
    trustDomain: "test",
    namespace: "platform",
    gateway: {
      ...at("gateway.test", ports.gateway),
      url: "https://gateway.test/",
      service: { namespace: "platform", name: "gateway", port: 443 },
      trust: trust("edge"),
      ...(foreign && { roots: foreign.root }),
    },
    admin: {
      ...at("admin.test", ports.admin),
      cluster: "this machine",
      trust: trust("admin"),
      certificate: secret("admin", "adminClient"),
      key: { ...secret("admin", "env"), key: "adminKey" },
    },
    store: {
      ...at("localhost", ports.etcd),
      cluster: "this machine",
      trust: trust("etcd"),
      certificate: secret("etcd", "store"),
      endpoints: [`https://localhost:${ports.etcd}`],
      members: ["default"],
      peer: at("localhost", ports.peer),
      user,
      password: { ...secret("etcd", "env"), key: "password" },
      prefix: "/apisix",
    },
    caller: {
      identity: { trustDomain: "test", namespace: "platform", serviceAccount: "apisix" },
      ...{ forwards: forwardedHeader, forwardsCertificate: certificateHeader },
    },
    adminClients: [{ namespace: "platform", serviceAccount: "deployer" }],
    ...(faults.client !== undefined && {
      clients: {
        allowed: [{ namespace: "platform", serviceAccount: faults.client }],
        certificates: faults.unissued ? [] : [secret("edge", "client")],
      },
    }),
    upstream: {
      node,
      serverName: "upstream.test",
      trust: trust("upstream"),
      clientCertificate: secret("upstream", "upstreamClient"),
      pods: at("upstream.test", upstreamPort),
    },
    issuers: byPlane(issuer) as PlatformOutputs["issuers"],
    trust: byPlane(trust) as PlatformOutputs["trust"],
    roots: byPlane((plane) => authorities[plane].root),
    serverCertificates: {
      etcd: secret("etcd", "etcd"),
      "etcd-peer": secret("etcd-peer", "peer"),
      admin: secret("admin", "adminServer"),
      edge: secret("edge", "gateway"),
      upstream: secret("upstream", "upstreamServer"),
    },
    routes: [{ id: "hello", hosts: ["gateway.test"], uris: ["/"] }],
  };
  const access: PlatformAccess = {
    expect: async () => undefined,
    missingOf: async () => undefined,
    removeIssued: async () => undefined,
    connect,
    open: async ({ port }, signal) => open(port, signal),
    readyPods: async () => ["local"],
    workloads: async () => ({ workloads: [], leaving: [] }),
    keyPair: async ({ name }: SecretRef) => leaves[name as keyof typeof leaves],
    certificate: async ({ name }: SecretRef) => leaves[name as keyof typeof leaves].cert,
    secretValue: async ({ key }) => (key === "password" ? password : adminKey),
    trustBundle: async ({ key }) => authorities[key as Plane].root,
  };
  const certificates: CertificateSource = {
    issue: ({ issuer: { plane }, identity, subject, dnsNames, usages, lifetime }: LeafOrder) =>
      issuers[plane].leaf({
        ...(subject
          ? { subject: `O=${identity.trustDomain},OU=${identity.namespace},CN=${identity.serviceAccount}` }
          : {}),
        ...{ uris: [spiffeId(identity)], dnsNames, usages },
        // Saves a second of waiting.
        ...(lifetime < 60 ? { lifetime: 1_000 } : {}),
      }),
    remove: async () => undefined,
  };
  return { outputs, access, certificates, admin };
}

/** Who signs a plane's leaves, which come with the certificates above them but the root's. */
interface Issuing extends Pick<Authority, "leaf"> {
  readonly above: readonly string[];
}

/** The authority itself, or an intermediate. */
async function issuerOf(authority: Authority, { intermediates }: Form): Promise<Issuing> {
  if (!intermediates) return { leaf: (leaf) => authority.leaf(leaf), above: [] };
  const intermediate = await authority.intermediate("intermediate");
  const leaf: Authority["leaf"] = async (leaf) => {
    const { cert, key } = await intermediate.leaf(leaf);
    return { cert: cert + intermediate.root, key };
  };
  return { leaf, above: [intermediate.root] };
}

/** Like `Cluster.connect`, but without the port-forward. */
function connect({ port, serverName }: PodPort, client: ClientTls, signal?: AbortSignal): Promise<tls.TLSSocket> {
  return handshake({ socket: open(port, signal) }, serverName, client);
}

function open(port: number, signal?: AbortSignal): Socket {
  const socket = dial(port, "127.0.0.1");
  signal?.addEventListener("abort", () => socket.destroy(signal.reason as Error), { once: true });
  return socket;
}

function call(
  to: tls.ConnectionOptions,
  method: string,
  path: string,
  body?: object,
  headers: http.OutgoingHttpHeaders = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = https.request({ ...to, host: "127.0.0.1", agent: false, method, path, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
    });
    request.on("error", reject);
    request.end(body && JSON.stringify(body));
  });
}

async function answering(what: string, answers: () => Promise<boolean>): Promise<void> {
  let last: unknown = "nothing yet";
  const look = async () => (last = await answers().catch((error: unknown) => error)) === true;
  if (!(await until(look, { within: 30_000, pause: 50 }))) throw new Error(`${what} does not answer: ${String(last)}`);
}

function run(processes: ChildProcess[], name: string, args: readonly string[]): void {
  const path = programPath(name);
  if (path === undefined) throw new Error(`no ${name}`);
  processes.push(spawn(path, args, { stdio: process.env.LAB_DEBUG ? "inherit" : "ignore" }));
}

function listen(server: ReturnType<typeof createServer>): Promise<number> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
