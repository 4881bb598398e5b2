// Real etcd and the APISIX stand-in on loopback, over mutual TLS, with Secrets and ConfigMaps in memory: the life cycle without Kubernetes.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as open } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";

import type { Access, Makers } from "../../cluster-access/access.ts";
import type { KeyPair } from "../../cluster-access/certificates.ts";
import { MissingEntry, MissingObject, Transient, WrongCluster } from "../../cluster-access/errors.ts";
import { type ClientTls, handshake } from "../../cluster-access/handshake.ts";
import { freePort } from "../../lab/ports.ts";
import type { AdminEndpoint, EtcdEndpoint } from "../../vocabulary/endpoints.ts";
import type { ConfigMapKeyRef, PodPort, SecretKeyRef, SecretRef } from "../../vocabulary/references.ts";
import { Authority } from "./authorities.ts";
import { programPath } from "./programs.ts";

export const clusterUid = "00000000-0000-4000-8000-000000000001";
export const adminKey = "an-admin-key-with-letters";

/** The Secrets and ConfigMaps of an imaginary cluster whose pods listen on loopback. */
export class MemoryCluster implements Access {
  readonly secrets = new Map<string, Record<string, string>>();
  readonly configMaps = new Map<string, Record<string, string>>();
  /** Called before each connection; tests throw here, or cut off the socket. */
  onConnect: (socket?: TLSSocket) => void = () => {};
  connections = 0;
  /** Selectors of pods that nothing makes any more, and names of Services. */
  readonly gone = new Set<string>();

  async expect(cluster: string): Promise<void> {
    if (cluster !== clusterUid) throw new WrongCluster(`This is cluster ${clusterUid}, not ${cluster}.`);
  }

  async keyPair(ref: SecretRef): Promise<KeyPair> {
    return { cert: this.#entry({ ...ref, key: "tls.crt" }), key: this.#entry({ ...ref, key: "tls.key" }) };
  }

  async secretValue(ref: SecretKeyRef): Promise<string> {
    return this.#entry(ref);
  }

  async certificate(ref: SecretRef): Promise<string> {
    return this.#entry({ ...ref, key: "tls.crt" });
  }

  async trustBundle(ref: ConfigMapKeyRef): Promise<string> {
    const bundle = this.configMaps.get(`${ref.namespace}/${ref.name}`)?.[ref.key];
    if (!bundle) throw new MissingObject(`ConfigMap ${ref.namespace}/${ref.name} does not exist.`);
    return bundle;
  }

  async missingOf({ selector, services = [] }: Makers): Promise<string | undefined> {
    if (this.gone.has(selector)) return `There is no Deployment or StatefulSet ${selector} in namespace mtls.`;
    const service = services.find((name) => this.gone.has(name));
    return service && `Service mtls/${service} does not exist.`;
  }

  async removeIssued(): Promise<void> {
    throw new Error("Nothing here is issued by cert-manager.");
  }

  async connect({ port, serverName, selector }: PodPort, client: ClientTls): Promise<TLSSocket> {
    if (this.gone.has(selector)) throw new Transient(`No ready pod matches ${selector} in namespace mtls (0 found).`);
    this.onConnect();
    this.connections += 1;
    const socket = await handshake({ host: "127.0.0.1", port }, serverName, client);
    this.onConnect(socket);
    return socket;
  }

  /** Puts a leaf where cert-manager would. */
  leaf(name: string, pair: KeyPair): SecretRef {
    this.secrets.set(`mtls/${name}`, { "tls.crt": pair.cert, "tls.key": pair.key });
    return { namespace: "mtls", name };
  }

  secret(name: string, key: string, value: string): SecretKeyRef {
    this.secrets.set(`mtls/${name}`, { [key]: value });
    return { namespace: "mtls", name, key };
  }

  trust(name: string, bundle: string): ConfigMapKeyRef {
    this.configMaps.set(`mtls/${name}`, { "ca.crt": bundle });
    return { namespace: "mtls", name, key: "ca.crt" };
  }

  #entry(ref: SecretKeyRef): string {
    const secret = this.secrets.get(`${ref.namespace}/${ref.name}`);
    if (!secret) throw new MissingObject(`Secret ${ref.namespace}/${ref.name} does not exist.`);
    const value = secret[ref.key];
    if (!value) throw new MissingEntry(`Secret ${ref.namespace}/${ref.name} has no "${ref.key}".`);
    return value;
  }
}

/** What a started server offers to its test. */
export interface Started<Endpoint> {
  readonly endpoint: Endpoint;
  stop(): Promise<void>;
}

/** A server that can be killed, and restarted with its data. */
export interface Restartable {
  kill(): Promise<void>;
  start(): Promise<void>;
}

/** An etcd that only speaks mutual TLS. Skips the calling test if there is no etcd program. */
export async function startEtcd(
  cluster: MemoryCluster,
  authority: Authority,
  skip: () => never,
): Promise<Started<EtcdEndpoint> & Restartable> {
  const program = programPath("etcd") ?? skip();
  const folder = mkdtempSync(join(tmpdir(), "etcd-"));
  const port = await freePort();
  // No common name: etcd's JSON gateway dials itself with this certificate, and would act as the user of that name.
  const server = await authority.leaf({
    dnsNames: ["etcd.test"],
    usages: ["server auth", "client auth"],
  });
  write(folder, { "ca.crt": authority.root, "tls.crt": server.cert, "tls.key": server.key });
  const url = `https://127.0.0.1:${port}`;
  const args = [
    ...["--data-dir", join(folder, "data"), "--log-level", "error", "--unsafe-no-fsync"],
    ...[
      "--listen-client-urls",
      url,
      "--advertise-client-urls",
      url,
      "--listen-peer-urls",
      `http://127.0.0.1:${await freePort()}`,
    ],
    ...["--cert-file", join(folder, "tls.crt"), "--key-file", join(folder, "tls.key")],
    ...["--trusted-ca-file", join(folder, "ca.crt"), "--client-cert-auth"],
  ];
  let child: ReturnType<typeof run>;
  const start = async () => {
    child = run(program, args);
    await listening(port, child);
  };
  await start();
  return {
    endpoint: {
      ...{ cluster: clusterUid, namespace: "mtls", selector: "app=etcd", port, serverName: "etcd.test" },
      trust: cluster.trust("etcd-trust", authority.root),
      certificate: cluster.leaf(
        "etcd-client",
        await authority.leaf({ usages: ["client auth"], dnsNames: ["client.test"] }),
      ),
    },
    start,
    kill: () => kill(child),
    stop: () => stop(child, folder),
  };
}

interface StartedApisix extends Started<AdminEndpoint>, Restartable {
  readonly gatewayPort: number;
  readonly etcd: Pick<Started<EtcdEndpoint>, "endpoint"> & Restartable;
}

/** The stand-in with its own etcd. Its gateway has no upstreams, but serves its certificates. */
export async function startApisix(cluster: MemoryCluster, admin: Authority, skip: () => never): Promise<StartedApisix> {
  const program = programPath("apisix") ?? skip();
  const store = await Authority.create("etcd");
  const etcd = await startEtcd(cluster, store, skip);
  const folder = mkdtempSync(join(tmpdir(), "apisix-"));
  const [port, plain, secure, status] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const server = await admin.leaf({ subject: "CN=apisix-admin", dnsNames: ["apisix-admin"], usages: ["server auth"] });
  const client = await store.leaf({ usages: ["client auth"], dnsNames: ["apisix.test"] });
  mkdirSync(join(folder, "logs"));
  mkdirSync(join(folder, "conf"));
  const files = {
    ...{ "admin.crt": server.cert, "admin.key": server.key, "admin-ca.crt": admin.root },
    ...{ "etcd.crt": client.cert, "etcd.key": client.key, "etcd-ca.crt": store.root },
  };
  write(folder, files);
  const at = (name: keyof typeof files) => join(folder, name);
  const config = {
    apisix: {
      node_listen: [{ ip: "127.0.0.1", port: plain }],
      ssl: { enable: true, listen: [{ ip: "127.0.0.1", port: secure }], ssl_trusted_certificate: at("etcd-ca.crt") },
      status: { ip: "127.0.0.1", port: status },
      enable_control: false,
    },
    deployment: {
      role: "traditional",
      role_traditional: { config_provider: "etcd" },
      admin: {
        admin_key: [{ name: "admin", key: adminKey, role: "admin" }],
        admin_listen: { ip: "127.0.0.1", port },
        https_admin: true,
        admin_api_mtls: {
          admin_ssl_cert: at("admin.crt"),
          admin_ssl_cert_key: at("admin.key"),
          admin_ssl_ca_cert: at("admin-ca.crt"),
        },
        enable_admin_ui: false,
      },
      etcd: {
        host: [`https://127.0.0.1:${etcd.endpoint.port}`],
        prefix: "/apisix",
        tls: { cert: at("etcd.crt"), key: at("etcd.key"), verify: true, sni: "etcd.test" },
      },
    },
  };
  writeFileSync(join(folder, "conf", "config.yaml"), JSON.stringify(config));
  let child: ReturnType<typeof run>;
  const start = async () => {
    child = run(program, ["--home", folder]);
    await listening(port, child);
  };
  await start().catch(async (error: unknown) => {
    await etcd.stop();
    throw error;
  });
  // Valid from today: every test of the Admin API fails if the stand-in's clock is not the test's.
  const deployer = await admin.leaf({ subject: "CN=deployer", usages: ["client auth"], lifetime: 3_600_000 });
  return {
    gatewayPort: secure,
    etcd,
    start,
    kill: () => kill(child),
    endpoint: {
      ...{ cluster: clusterUid, namespace: "mtls", selector: "app=apisix", port, serverName: "apisix-admin" },
      trust: cluster.trust("admin-trust", admin.root),
      certificate: cluster.leaf("deployer", deployer),
      key: cluster.secret("admin-key", "key", adminKey),
    },
    async stop() {
      await stop(child, folder);
      await etcd.stop();
    },
  };
}

function run(program: string, args: readonly string[]): ChildProcess & { output: string } {
  const child = Object.assign(spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] }), { output: "" });
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (child.output += String(chunk)));
  return child;
}

async function listening(port: number, server: ChildProcess & { output: string }): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (server.exitCode !== null) throw new Error(`${server.spawnfile} ended:\n${server.output}`);
    const reached = await new Promise<boolean>((resolve) => {
      const socket = open(port, "127.0.0.1", () => resolve(true)).once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (reached) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await kill(server);
  throw new Error(`${server.spawnfile} does not listen on ${port}:\n${server.output}`);
}

async function kill(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGKILL");
  await ended;
}

async function stop(server: ChildProcess, folder: string): Promise<void> {
  await kill(server);
  rmSync(folder, { recursive: true, force: true });
}

function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
}
