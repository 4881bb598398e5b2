/** nginx's handshakes with the product's configuration and with leaves that it reads once, using the lab's nginx on loopback. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chown, cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { nginxPort } from "@mtls-everywhere/vocabulary/ports";
import { nginxConfig, nginxPaths } from "../../components/nginxConfig.ts";
import { nginxImage } from "../images.ts";
import { debian, librariesOf } from "../debian.ts";
import { makePki } from "../pki.ts";
import { freePort } from "../ports.ts";
import { makeFolder, removeFolder } from "../temporary.ts";
import { contextOf, get } from "./gatewayClient.ts";

export interface Handshakes {
  /** Handshakes per second of nginx's own CPU time, by run. */
  readonly live: readonly number[];
  readonly fixed: readonly number[];
  /** Median with live leaves as a share of the median with fixed ones. */
  readonly ratio: number;
}

const runs = 5;
const connections = 1500;
const sideBySide = 8;
/** nginx's user in its official image. */
const uid = 101;

/** One run of each in turns, so that other work on the machine affects both. */
export async function compareHandshakes(signal: AbortSignal): Promise<Handshakes> {
  const folder = await makeFolder("handshakes");
  try {
    await makePki(join(folder, "pki"), 0);
    const client = { trustDomain: "lab.internal", namespace: "lab", serviceAccount: "client" };
    const config = nginxConfig([client], nginxImage);
    const [live, fixed]: [number[], number[]] = [[], []];
    for (let run = 0; run < runs; run++) {
      live.push(await rate(folder, `live-${run}`, config, signal));
      fixed.push(await rate(folder, `fixed-${run}`, withFixedPaths(config), signal));
    }
    return { live, fixed, ratio: median(live) / median(fixed) };
  } finally {
    await removeFolder(folder);
  }
}

/** The configuration from before leaves were read at each handshake. */
export function withFixedPaths(config: string): string {
  return config
    .replace(/ssl_certificate [^;]+;/g, `ssl_certificate ${nginxPaths.leaf}/tls.crt;`)
    .replace(/ssl_certificate_key [^;]+;/g, `ssl_certificate_key ${nginxPaths.leaf}/tls.key;`);
}

async function rate(folder: string, name: string, config: string, signal: AbortSignal): Promise<number> {
  const [root, port] = [join(folder, name), await freePort()];
  const pki = join(folder, "pki");
  await layOut(root, config.replace(`listen ${nginxPort} `, `listen 127.0.0.1:${port} `), pki);
  const configured = ["-c", `${nginxPaths.config}/nginx.conf`, "-g", "daemon off;"];
  const nginx = spawn("chroot", [`--userspec=${uid}:${uid}`, root, "/usr/sbin/nginx", ...configured], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(nginx, "exit");
  let said = "";
  nginx.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  try {
    const target = { host: "127.0.0.1", port, serverName: "localhost" };
    const [ca = "", cert = "", key = ""] = await Promise.all(
      ["ca.crt", "admin.crt", "admin.key"].map((file) => readFile(join(pki, file), "utf8")),
    );
    const context = contextOf({ ca, cert, key });
    await untilAnswers(
      () => get(target, "/", context),
      () => said,
      signal,
    );
    const worker = await childOf(nginx.pid ?? 0);
    const before = await processorSeconds(worker);
    let begun = 0;
    const client = async () => {
      while (begun++ < connections && !signal.aborted) await get(target, "/", context);
    };
    await Promise.all(Array.from({ length: sideBySide }, client));
    signal.throwIfAborted();
    return connections / ((await processorSeconds(worker)) - before);
  } finally {
    nginx.kill("SIGTERM");
    await ended;
  }
}

/** A root file system with nginx, the libraries it loads, and what the pod mounts, at the pod's paths. */
async function layOut(root: string, config: string, pki: string): Promise<void> {
  const libraries = join((await debian(() => {})).path, "libraries");
  const { loader, libraries: loaded } = await librariesOf(libraries, "usr/sbin/nginx");
  for (const path of ["usr/sbin/nginx", loader, ...loaded])
    await cp(join(libraries, path), join(root, path), { dereference: true });
  for (const path of ["lib", "lib64"]) {
    await mkdir(join(root, path), { recursive: true });
    await symlink(`/${loader}`, join(root, path, basename(loader)));
  }
  const put = async (path: string, text: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
    await chown(join(root, path), uid, uid);
  };
  await put(`${nginxPaths.config}/nginx.conf`, config);
  await put(`${nginxPaths.files}/index.json`, "{}");
  for (const path of ["/dev/stdout", "/dev/stderr", `${nginxPaths.scratch}/here`]) await put(path, "");
  await chown(join(root, nginxPaths.scratch), uid, uid);
  const mounted = { "leaf/tls.crt": "apiserver.crt", "leaf/tls.key": "apiserver.key", "trust/ca.crt": "ca.crt" };
  for (const [path, file] of Object.entries(mounted)) {
    const [mount, name] = path.split("/") as ["leaf" | "trust", string];
    await put(join(nginxPaths[mount], name), await readFile(join(pki, file), "utf8"));
  }
}

async function untilAnswers(ask: () => Promise<unknown>, said: () => string, signal: AbortSignal): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await ask();
      return;
    } catch (error) {
      if (tries === 100)
        throw new Error(`nginx does not answer on loopback (${(error as Error).message}). It says: ${said()}`);
      await sleep(100, undefined, { signal });
    }
  }
}

/** A master's worker. */
async function childOf(parent: number): Promise<number> {
  for (const name of await readdir("/proc")) {
    const fields = /^\d+$/.test(name) ? await statOf(name) : [];
    if (Number(fields[1]) === parent) return Number(name);
  }
  throw new Error("nginx has no worker.");
}

/** In user and system mode; the kernel counts in hundredths of a second. */
async function processorSeconds(pid: number): Promise<number> {
  const fields = await statOf(String(pid));
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** What follows the program's name: the fields of proc_pid_stat(5) from the third on. */
async function statOf(pid: string): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return text.split(") ").at(-1)?.split(" ") ?? [];
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
