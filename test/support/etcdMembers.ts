// Real etcd processes on loopback as the pods of a StatefulSet: one that exits is restarted, and a volume is a folder.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";

import { type ClientTls, handshake } from "../../cluster-access/handshake.ts";
import { until } from "../../cluster-access/until.ts";
import type { StartState } from "../../components/etcdPlan.ts";
import { create } from "../../dynamic-resources/resources.ts";
import { freePort } from "../../lab/ports.ts";
import type { MemberPods } from "../../tools/etcd/pods.ts";
import { StoreSession } from "../../tools/verify/storeSession.ts";
import type { EtcdEndpoint } from "../../vocabulary/endpoints.ts";
import type { OnePodPort } from "../../vocabulary/references.ts";
import { clusterUid, MemoryCluster } from "./apisix.ts";
import { Authority } from "./authorities.ts";
import { programPath } from "./programs.ts";

const prefix = "/apisix";
const password = "r00t";

interface Ports {
  readonly client: number;
  readonly peer: number;
}

/** A cluster whose only pods are etcd's. */
export class EtcdMembers extends MemoryCluster implements MemberPods {
  /** Called before each change of the pods; tests throw here. */
  beforeChange: (change: string) => void = () => {};
  /** The bootstrap settings of a member without data. */
  startsBy: { members: readonly string[]; state: StartState } = { members: ["etcd-0"], state: "new" };
  readonly endpoint: EtcdEndpoint;
  readonly namespace = "mtls";
  readonly #program: string;
  readonly #folder: string;
  readonly #ports: readonly Ports[];
  readonly #running = new Map<string, ChildProcess>();
  #replicas = 0;

  private constructor(program: string, folder: string, ports: readonly Ports[], endpoint: EtcdEndpoint) {
    super();
    this.#program = program;
    this.#folder = folder;
    this.#ports = ports;
    this.endpoint = endpoint;
  }

  /** One member, with users root and apisix. Skips the calling test when the program is nowhere. */
  static async start(skip: () => never): Promise<EtcdMembers> {
    const program = programPath("etcd") ?? skip();
    const authority = await Authority.create("etcd");
    const folder = mkdtempSync(join(tmpdir(), "members-"));
    const ports = [];
    for (let index = 0; index < 5; index += 1) ports.push({ client: await freePort(), peer: await freePort() });
    const server = await authority.leaf({ dnsNames: ["etcd.test"], usages: ["server auth", "client auth"] });
    const files = { "ca.crt": authority.root, "tls.crt": server.cert, "tls.key": server.key };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
    const members = new EtcdMembers(program, folder, ports, {
      ...{ cluster: clusterUid, namespace: "mtls", selector: "app=etcd", port: 0, serverName: "etcd.test" },
      trust: { namespace: "mtls", name: "etcd-trust", key: "ca.crt" },
      certificate: { namespace: "mtls", name: "etcd-client" },
    });
    members.trust("etcd-trust", authority.root);
    members.leaf("etcd-client", await authority.leaf({ usages: ["client auth"] }));
    await members.scale(1);
    const user = { name: "apisix", password: members.secret("apisix", "password", "of-apisix"), prefix };
    const root = members.secret("root", "password", password);
    await create("etcdAuth", { etcd: members.endpoint, root, users: [user] }, members);
    return members;
  }

  /** Calls as etcd's root, or as APISIX. */
  async session(user: "root" | "apisix" = "root"): Promise<StoreSession> {
    const client = {
      ca: await this.trustBundle(this.endpoint.trust),
      pair: await this.keyPair(this.endpoint.certificate),
    };
    const secret = user === "root" ? password : "of-apisix";
    return new StoreSession({ access: this, endpoint: this.endpoint, client, user, password: secret });
  }

  override async connect({ pod, serverName }: OnePodPort, client: ClientTls, signal?: AbortSignal): Promise<TLSSocket> {
    const name = pod ?? [...this.#running.keys()].sort()[0] ?? "";
    const socket = dial(this.#of(name).client, "127.0.0.1");
    // A member that has not joined takes connections, and says nothing.
    signal?.addEventListener("abort", () => socket.destroy(signal.reason as Error), { once: true });
    return handshake({ socket }, serverName, client);
  }

  name(ordinal: number): string {
    return `etcd-${ordinal}`;
  }

  peerUrl(member: string): string {
    return `http://127.0.0.1:${this.#of(member).peer}`;
  }

  async replicas(): Promise<number> {
    return this.#replicas;
  }

  async scale(replicas: number): Promise<void> {
    this.beforeChange(`scale ${replicas}`);
    const had = this.#replicas;
    this.#replicas = replicas;
    for (let ordinal = had; ordinal < replicas; ordinal += 1) this.#run(this.name(ordinal));
    for (let ordinal = replicas; ordinal < had; ordinal += 1) await this.#end(this.name(ordinal));
  }

  async startBy(members: readonly string[], state: StartState): Promise<void> {
    this.beforeChange(`start by ${members.join()} ${state}`);
    this.startsBy = { members, state };
  }

  async drop(member: string): Promise<void> {
    this.beforeChange(`drop ${member}`);
    await this.lose(member);
  }

  async renewed(): Promise<void> {}

  async forget(member: string): Promise<void> {
    this.beforeChange(`forget ${member}`);
    rmSync(this.#data(member), { recursive: true, force: true });
  }

  /** Volumes that there are. */
  get volumes(): string[] {
    return [0, 1, 2, 3, 4].map((ordinal) => this.name(ordinal)).filter((name) => existsSync(this.#data(name)));
  }

  /** The pod ends and its volume is gone; it starts again with an empty one. */
  async lose(member: string): Promise<void> {
    await this.#end(member);
    rmSync(this.#data(member), { recursive: true, force: true });
    this.#run(member);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.#end(name)));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #of(member: string) {
    const ports = this.#ports[Number(member.split("-")[1])];
    if (ports === undefined) throw new Error(`There is no pod ${member}.`);
    return ports;
  }

  #data(member: string): string {
    return join(this.#folder, member);
  }

  /** As the kubelet does, with a shorter pause. */
  #run(member: string): void {
    const { client } = this.#of(member);
    const url = `https://127.0.0.1:${client}`;
    const { members, state } = this.startsBy;
    const args = [
      ...[`--name=${member}`, `--data-dir=${this.#data(member)}`, "--log-level=fatal", "--unsafe-no-fsync"],
      ...[`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`],
      ...[`--listen-peer-urls=${this.peerUrl(member)}`, `--initial-advertise-peer-urls=${this.peerUrl(member)}`],
      `--initial-cluster=${members.map((name) => `${name}=${this.peerUrl(name)}`).join(",")}`,
      `--initial-cluster-state=${state}`,
      ...[`--cert-file=${this.#folder}/tls.crt`, `--key-file=${this.#folder}/tls.key`],
      ...[`--trusted-ca-file=${this.#folder}/ca.crt`, "--client-cert-auth"],
    ];
    const child = spawn(this.#program, args, { stdio: "ignore" });
    this.#running.set(member, child);
    child.once("exit", () => {
      setTimeout(() => {
        if (this.#running.get(member) === child) this.#run(member);
      }, 500);
    });
  }

  async #end(member: string): Promise<void> {
    const child = this.#running.get(member);
    this.#running.delete(member);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }
}

/** Waits for a condition that must come. */
export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  if (!(await until(holds, { within: 60_000, pause: 100 }))) throw new Error(`It did not come to this: ${what}`);
}
