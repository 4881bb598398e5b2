// Starts what the contract needs on loopback: a real etcd, the APISIX stand-in, and upstreams that report what they saw.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type net from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";

import { stringify } from "yaml";

import { programPath } from "../../../test/support/programs.ts";
import { freePort } from "../../ports.ts";
import type { Pems } from "./apisix-pki.ts";

export const adminKey = "contract-admin-key";
export const viewerKey = "contract-viewer-key";

export type Ports = Readonly<Record<"http" | "https" | "admin" | "status" | "etcd" | "peer", number>>;

/** Polls until `probe` returns something other than false; throws after `limit` milliseconds. */
export async function until<T>(what: string, probe: () => Promise<T | false>, limit = 15_000): Promise<T> {
  for (const end = Date.now() + limit; Date.now() < end; await sleep(25)) {
    const result = await probe().catch(() => false as const);
    if (result !== false) return result;
  }
  throw new Error(`${what}: not within ${limit} ms`);
}

/** Exit code and full output of processes that are expected to end. */
export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

export class Process {
  /** Those still running, so that a failed test leaves none behind. */
  static readonly running = new Set<Process>();

  output = "";
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(command, args, {
      env: { PATH: process.env["PATH"], LAB_CLOCK: process.env["LAB_CLOCK"], ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on("data", (chunk: Buffer) => (this.output += chunk.toString()));
    Process.running.add(this);
    this.ended = once(this.child, "close").then(([code]) => {
      Process.running.delete(this);
      return { code: code as number | null, output: this.output };
    });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ended> {
    this.child.kill(signal);
    return this.ended;
  }
}

/** Writes every PEM to `folder`; returns a function from file name to path. */
export function writePems(folder: string, pems: Pems): (file: string) => string {
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(pems)) writeFileSync(join(folder, file), text, { mode: 0o600 });
  return (file) => join(folder, file);
}

export async function startEtcd(
  folder: string,
  ports: Ports,
  file: (name: string) => string,
  options: { server?: string; fresh?: boolean } = {},
): Promise<Process> {
  const data = join(folder, "etcd");
  if (options.fresh) rmSync(data, { recursive: true, force: true });
  const server = options.server ?? "etcd-server";
  const [client, peer] = [`https://127.0.0.1:${ports.etcd}`, `http://127.0.0.1:${ports.peer}`];
  const etcd = new Process(programPath("etcd")!, [
    ...["--name", "contract", "--data-dir", data, "--log-level", "error", "--unsafe-no-fsync"],
    ...["--listen-client-urls", client, "--advertise-client-urls", client],
    ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `contract=${peer}`],
    ...["--cert-file", file(`${server}.crt`), "--key-file", file(`${server}.key`)],
    ...["--trusted-ca-file", file("etcd-ca.crt"), "--client-cert-auth"],
  ]);
  await until(`etcd (${etcd.output})`, async () => {
    const socket = tls.connect({ host: "127.0.0.1", port: ports.etcd, rejectUnauthorized: false });
    await once(socket, "secureConnect");
    socket.destroy();
    return true;
  });
  return etcd;
}

/** A change to config.yaml: a dotted path and its value; undefined removes the key. */
export type Patch = readonly [path: string, value: unknown];

export function configYaml(ports: Ports, file: (name: string) => string, patches: readonly Patch[]): string {
  const config: Record<string, unknown> = {
    apisix: {
      enable_control: false,
      enable_ipv6: false,
      node_listen: [{ ip: "127.0.0.1", port: ports.http }],
      status: { ip: "127.0.0.1", port: ports.status },
      ssl: {
        listen: [{ ip: "127.0.0.1", port: ports.https }],
        ssl_trusted_certificate: file("etcd-ca.crt"),
      },
    },
    nginx_config: { http: { enable_access_log: false } },
    deployment: {
      role: "traditional",
      role_traditional: { config_provider: "etcd" },
      admin: {
        enable_admin_ui: false,
        allow_admin: ["127.0.0.0/24"],
        admin_listen: { ip: "127.0.0.1", port: ports.admin },
        https_admin: true,
        admin_api_mtls: {
          admin_ssl_cert: file("live-admin.crt"),
          admin_ssl_cert_key: file("live-admin.key"),
          admin_ssl_ca_cert: file("live-admin-ca.crt"),
        },
        admin_key: [
          { name: "admin", key: "${{REF_ADMIN_KEY}}", role: "admin" },
          { name: "viewer", key: viewerKey, role: "viewer" },
        ],
      },
      etcd: {
        host: [`https://127.0.0.1:${ports.etcd}`],
        prefix: "/apisix",
        timeout: 30,
        tls: { cert: file("live-etcd.crt"), key: file("live-etcd.key"), verify: true, sni: "etcd.local" },
      },
    },
  };
  for (const [path, value] of patches) {
    const steps = path.split(".");
    const last = steps.pop() ?? "";
    let at = config;
    for (const step of steps) at = (at[step] ??= {}) as Record<string, unknown>;
    if (value === undefined || value === null) delete at[last];
    else at[last] = value;
  }
  // YAML 1.1, as APISIX reads it, where a bare `yes` is a boolean.
  return stringify(config, { lineWidth: 0, version: "1.1" });
}

/** Starts the stand-in without waiting, as it may be meant to fail. */
export function spawnApisix(folder: string, config: string, env: NodeJS.ProcessEnv = {}): Process {
  const home = join(folder, "home");
  mkdirSync(join(home, "conf"), { recursive: true });
  writeFileSync(join(home, "conf", "config.yaml"), config);
  return new Process(programPath("apisix")!, ["-home", home, "docker-start"], { REF_ADMIN_KEY: adminKey, ...env });
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

export interface Call {
  readonly port: number;
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  /** If present, over TLS with these options. */
  readonly tls?: tls.ConnectionOptions;
  readonly agent?: http.Agent;
}

/** One request. Over TLS it waits a moment before sending, so that it reads a TLS 1.3 server's alert first. */
export async function call(request: Call): Promise<Answer> {
  const options: http.RequestOptions = {
    host: "127.0.0.1",
    port: request.port,
    method: request.method ?? "GET",
    path: request.path,
    headers: {
      ...request.headers,
      ...(request.body === undefined ? {} : { "content-length": Buffer.byteLength(request.body) }),
    },
  };
  if (request.agent || !request.tls) options.agent = request.agent ?? false;
  if (request.tls && !request.agent) {
    const socket = tls.connect({ host: "127.0.0.1", port: request.port, ALPNProtocols: ["http/1.1"], ...request.tls });
    await once(socket, "secureConnect");
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      if (socket.getProtocol() === "TLSv1.3") setTimeout(resolve, 30);
      else resolve();
    });
    options.createConnection = () => socket;
  }
  return new Promise((resolve, reject) => {
    const sent = (request.agent instanceof https.Agent ? https : http).request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(chunks).toString(),
        }),
      );
    });
    sent.on("error", reject);
    sent.end(request.body);
  });
}

const nginxPage = (detail: string) =>
  [
    `<html>`,
    `<head><title>400 ${detail}</title></head>`,
    `<body>`,
    `<center><h1>400 Bad Request</h1></center>`,
    `<center>${detail}</center>`,
    `<hr><center>nginx/1.22.1</center>`,
    `</body>`,
    `</html>`,
    ``,
  ].join("\r\n");

/** The recordings' upstreams by their recorded port. */
export type Upstreams = Readonly<Record<string, number>>;

/** nginx as in the recordings: says what it saw, and answers with 400 pages if it does not like the client certificate. */
export async function startUpstreams(pems: Pems): Promise<{ ports: Upstreams; close: () => void }> {
  const servers: Record<string, http.Server> = {};
  const ports: Record<string, number> = {};
  const handler = (port: string, wantsClient: boolean): http.RequestListener => {
    return (request, response) => {
      // As when recording: a pooled connection would hide what changed.
      response.setHeader("connection", "close");
      const socket = request.socket as Partial<tls.TLSSocket>;
      const peer = socket.getPeerCertificate?.();
      const known = peer !== undefined && Object.keys(peer).length > 0;
      const page = (detail: string) => {
        response.writeHead(400, { "content-type": "text/html; charset=utf-8" }).end(nginxPage(detail));
      };
      if (wantsClient && !known) return page("No required SSL certificate was sent");
      if (wantsClient && socket.authorized !== true) return page("The SSL certificate error");
      if (request.url === "/slow-body") return void slowly(response);
      const header = (name: string) => String(request.headers[name] ?? "");
      response.writeHead(200, { "content-type": "application/json" }).end(
        JSON.stringify({
          port,
          uri: request.url,
          host: header("host"),
          sni: socket.servername || "",
          verify: socket.getProtocol === undefined ? "" : wantsClient ? "SUCCESS" : "NONE",
          client_dn: known ? `O=${String(peer.subject["O"])},CN=${String(peer.subject["CN"])}` : "",
          proto: socket.getProtocol?.() ?? "",
          cipher: socket.getCipher?.().standardName ?? "",
          xff: header("x-forwarded-for"),
          xfp: header("x-forwarded-proto"),
          xfh: header("x-forwarded-host"),
        }),
      );
    };
  };
  const secure = (port: string, leaf: string, wantsClient: boolean) => {
    servers[port] = https.createServer(
      {
        cert: pems[`${leaf}.crt`],
        key: pems[`${leaf}.key`],
        ca: pems["ca.crt"],
        requestCert: wantsClient,
        rejectUnauthorized: false,
        maxVersion: "TLSv1.2",
      },
      handler(port, wantsClient),
    );
  };
  servers["18080"] = http.createServer(handler("18080", false));
  secure("18443", "upstream", true);
  secure("18444", "upstream", false);
  secure("18445", "upstream-othername", false);
  secure("18446", "upstream-wrongca", false);
  secure("18447", "upstream-expired", false);
  for (const [recorded, server] of Object.entries(servers)) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ports[recorded] = (server.address() as net.AddressInfo).port;
  }
  ports["18999"] = await freePort();
  const close = () => {
    for (const server of Object.values(servers)) server.close().closeAllConnections();
  };
  return { ports, close };
}

/** Sends 60 kB in about 1.2 s. */
async function slowly(response: http.ServerResponse): Promise<void> {
  response.writeHead(200);
  for (let part = 0; part < 12; part++) {
    response.write("x".repeat(5000));
    await sleep(100);
  }
  response.end();
}
