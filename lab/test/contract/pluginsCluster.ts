// A Kubernetes API on loopback for the contract tests: etcd, API server and controllers; the tests play the kubelet.
// Recorded JSON and the messages that the SDK generates have no static types.
/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-assignment,
   @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-member-access,
   @typescript-eslint/no-unsafe-return */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual, promisify } from "node:util";

import { freePort } from "../../ports.ts";
import { normal } from "./pluginsRecordings.ts";

/** Where the lab keeps its finished binaries. */
export const labBin =
  process.env["LAB_BIN"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mtls-everywhere", "bin");

export const binary = (name: string): string => join(labBin, name);

/** The missing binaries, for a skipped test's message. */
export const missingBinaries = (...names: string[]): string[] => names.filter((name) => !existsSync(binary(name)));

export interface TestCluster {
  readonly kubeconfig: string;
  readonly server: string;
  kubectl(...args: string[]): Promise<string>;
  /** Calls the Kubernetes API as administrator; returns parsed JSON. */
  api(method: string, path: string, body?: unknown, contentType?: string): Promise<{ status: number; body: any }>;
  /** From now on marks pods that `isReady` accepts as running and ready; others fail to pull their image. `undefined` stops it. */
  playKubelet(isReady: ((pod: any) => boolean) | undefined): void;
  /** Waits until controllers have set the object's status to this and, for a Service, its endpoints. */
  settled(object: any): Promise<void>;
  stop(): Promise<void>;
}

const token = "contract-test";
const node = "contract";

/** Somebody else may take a port between its choice and its use: then try again with other ports. */
export async function startCluster(): Promise<TestCluster> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce();
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

async function startOnce(): Promise<TestCluster> {
  const folder = mkdtempSync(join(tmpdir(), "plugins-contract-"));
  const [etcdPort, peerPort, apiPort, controllerPort] = await Promise.all([
    freePort(),
    freePort(),
    freePort(),
    freePort(),
  ]);
  const children: ChildProcess[] = [];
  const log: string[] = [];
  const start = (name: string, args: string[]): ChildProcess => {
    const child = spawn(binary(name), args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
    child.stderr?.on("data", (chunk: Buffer) => {
      log.push(chunk.toString());
      if (log.length > 200) log.shift();
    });
    children.push(child);
    return child;
  };
  let kubelet: ((pod: any) => boolean) | undefined;
  let stopped = false;
  let playing: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopped = true;
    for (const child of children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    }
    await playing;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    writeFileSync(join(folder, "sa.key"), privateKey.export({ type: "pkcs1", format: "pem" }), { mode: 0o600 });
    writeFileSync(join(folder, "tokens.csv"), `${token},admin,1,system:masters\n`);
    const server = `https://127.0.0.1:${apiPort}`;
    const kubeconfig = join(folder, "kubeconfig");
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        "current-context": "contract",
        clusters: [{ name: "contract", cluster: { server, "insecure-skip-tls-verify": true } }],
        users: [{ name: "admin", user: { token } }],
        contexts: [{ name: "contract", context: { cluster: "contract", user: "admin" } }],
      }),
    );
    const etcd = `http://127.0.0.1:${etcdPort}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    start("etcd", [
      ...["--data-dir", join(folder, "etcd"), "--log-level", "error", "--unsafe-no-fsync"],
      ...["--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peer],
      ...["--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`],
    ]);
    start("kube", [
      "kube-apiserver",
      ...[
        "--etcd-servers",
        etcd,
        "--bind-address",
        "127.0.0.1",
        "--secure-port",
        String(apiPort),
        "--cert-dir",
        join(folder, "certs"),
      ],
      ...[
        "--token-auth-file",
        join(folder, "tokens.csv"),
        "--authorization-mode",
        "RBAC",
        "--service-cluster-ip-range",
        "10.96.0.0/16",
      ],
      ...["--service-account-issuer", server, "--service-account-key-file", join(folder, "sa.key")],
      ...[
        "--service-account-signing-key-file",
        join(folder, "sa.key"),
        "--endpoint-reconciler-type",
        "none",
        "--v",
        "0",
      ],
    ]);
    const answers = (path: string) => async (): Promise<boolean> => {
      if (children.some(({ exitCode }) => exitCode !== null)) throw new Error(`a program ended:\n${log.join("")}`);
      return (await get(server + path)) === 200;
    };
    await until(120_000, "API server ready", answers("/readyz"), log);
    start("kube", [
      "kube-controller-manager",
      ...[
        "--kubeconfig",
        kubeconfig,
        "--leader-elect=false",
        "--bind-address",
        "127.0.0.1",
        "--secure-port",
        String(controllerPort),
      ],
      ...["--cert-dir", join(folder, "controller-certs"), "--service-account-private-key-file", join(folder, "sa.key")],
      ...[
        "--root-ca-file",
        join(folder, "certs", "apiserver.crt"),
        "--use-service-account-credentials=false",
        "--v",
        "0",
      ],
      // Nobody renews the node's lease, so its controller would declare every pod lost.
      "--controllers=*,-node-lifecycle-controller",
    ]);
    const kubectl = async (...args: string[]): Promise<string> =>
      (
        await promisify(execFile)(binary("kube"), ["kubectl", "--kubeconfig", kubeconfig, ...args], {
          cwd: folder,
          maxBuffer: 64 << 20,
        })
      ).stdout;
    await until(120_000, "controllers at work", answers("/api/v1/namespaces/default/serviceaccounts/default"), log);
    await api(`${server}/api/v1/nodes`, "POST", { apiVersion: "v1", kind: "Node", metadata: { name: node } });
    const call: TestCluster["api"] = (method, path, body, contentType) => api(server + path, method, body, contentType);
    // One round at a time: on a slow machine they must not pile up.
    playing = (async () => {
      while (!stopped) {
        if (kubelet !== undefined) await playOnce(call, kubelet);
        await sleep(100);
      }
    })();
    const playKubelet: TestCluster["playKubelet"] = (isReady) => void (kubelet = isReady);
    const settled: TestCluster["settled"] = (object) =>
      until(60_000, `${object.kind} ${object.metadata.name} as it was recorded`, () => isSettled(call, object));
    return { kubeconfig, server, kubectl, api: call, playKubelet, settled, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const get = async (url: string): Promise<number> => (await api(url, "GET")).status;

/** An HTTPS call with the administrator's token; status 0 while nothing listens. */
function api(
  url: string,
  method: string,
  body?: unknown,
  contentType = "application/json",
): Promise<{ status: number; body: any }> {
  return new Promise((resolve) => {
    // The API server makes its certificate at startup, on this machine, for this test.
    const headers = {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": contentType }),
    };
    const call = request(url, { method, rejectUnauthorized: false, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode ?? 0, body: text.startsWith("{") ? JSON.parse(text) : text });
      });
    });
    call.on("error", () => resolve({ status: 0, body: undefined }));
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Whether controllers have got as far as the wanted object shows, by its status and, for a Service, its endpoints. */
async function isSettled(call: TestCluster["api"], wanted: any): Promise<boolean> {
  const { apiVersion, kind, metadata, status } = wanted;
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const folder = metadata.namespace === undefined ? root : `${root}/namespaces/${metadata.namespace}`;
  const live = (await call("GET", `${folder}/${kind.toLowerCase()}s/${metadata.name}`)).body;
  if (!isDeepStrictEqual(normal(live?.status), normal(status))) return false;
  if (kind !== "Service") return true;
  const endpoints = (await call("GET", `${folder}/endpoints/${metadata.name}`)).body;
  const labels = Object.entries<string>(live.spec.selector).map(([key, value]) => `${key}=${value}`);
  const pods = (await call("GET", `${folder}/pods?labelSelector=${encodeURIComponent(labels.join())}`)).body;
  const reachable = endpoints?.subsets?.flatMap(({ addresses = [] }) => addresses) ?? [];
  const waiting = endpoints?.subsets?.flatMap(({ notReadyAddresses = [] }) => notReadyAddresses) ?? [];
  const ready = pods?.items?.filter((pod: any) => readiness(pod) === "True");
  return reachable.length === ready?.length && reachable.length + waiting.length === pods.items.length;
}

const readiness = (pod: any): string | undefined =>
  pod.status?.conditions?.find((c: { type: string }) => c.type === "Ready")?.status;

/** What a kubelet would report about a pod: all well, or an image that cannot be pulled. Pods being deleted vanish. */
async function playOnce(call: TestCluster["api"], isReady: (pod: any) => boolean): Promise<void> {
  const pods = (await call("GET", "/api/v1/pods")).body;
  for (const pod of pods?.items ?? []) {
    const path = `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}`;
    if (pod.metadata.deletionTimestamp !== undefined) {
      await call("DELETE", `${path}?gracePeriodSeconds=0`);
      continue;
    }
    if (pod.spec.nodeName === undefined) {
      await call("POST", `${path}/binding`, {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name: pod.metadata.name },
        target: { kind: "Node", name: node },
      });
    }
    const ready = isReady(pod);
    if (readiness(pod) === (ready ? "True" : "False")) continue;
    const now = new Date().toISOString();
    const condition = (type: string, ok: boolean, extra = {}) => ({
      type,
      status: ok ? "True" : "False",
      lastTransitionTime: now,
      ...extra,
    });
    const unready = { reason: "ContainersNotReady", message: "containers with unready status: [c]" };
    const pull = {
      reason: "ErrImagePull",
      message:
        'failed to pull and unpack image "lab.local/absent:1": failed to resolve reference "lab.local/absent:1": not found',
    };
    const containers = pod.spec.containers.map((c: { name: string; image: string }) => ({
      ...{ name: c.name, image: c.image, imageID: "", restartCount: 0, ready },
      state: ready ? { running: { startedAt: now } } : { waiting: pull },
    }));
    const status = {
      ...{
        phase: ready ? "Running" : "Pending",
        podIP: "10.0.0.1",
        podIPs: [{ ip: "10.0.0.1" }],
        containerStatuses: containers,
      },
      conditions: [
        condition("PodScheduled", true),
        condition("Initialized", true),
        condition("ContainersReady", ready, ready ? {} : unready),
        condition("Ready", ready, ready ? {} : unready),
      ],
    };
    await call("PATCH", `${path}/status`, { status }, "application/merge-patch+json");
  }
}

export async function until(
  milliseconds: number,
  what: string,
  holds: () => Promise<boolean>,
  log: string[] = [],
): Promise<void> {
  const end = Date.now() + milliseconds;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`gave up waiting for: ${what}\n${log.slice(-20).join("")}`);
    await sleep(100);
  }
}
