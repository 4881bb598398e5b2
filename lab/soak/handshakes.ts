/** nginx's handshakes with the product's configuration and with leaves that it reads once, using the lab's nginx on loopback. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { nginxPort } from "@mtls-everywhere/vocabulary/ports";
import { nginxConfig, nginxPaths } from "../../components/nginxConfig.ts";
import { nginxImage } from "../images.ts";
import { layOut, startNginx } from "../nginx.ts";
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
  await layOut(root, await mounted(config.replace(`listen ${nginxPort} `, `listen 127.0.0.1:${port} `), pki));
  const nginx = startNginx(root, ["nginx", "-c", `${nginxPaths.config}/nginx.conf`, "-g", "daemon off;"]);
  try {
    const target = { host: "127.0.0.1", port, serverName: "localhost" };
    const [ca = "", cert = "", key = ""] = await Promise.all(
      ["ca.crt", "admin.crt", "admin.key"].map((file) => readFile(join(pki, file), "utf8")),
    );
    const context = contextOf({ ca, cert, key });
    await untilAnswers(() => get(target, "/", context), nginx.said, signal);
    const worker = await childOf(nginx.pid);
    const before = await processorSeconds(worker);
    let begun = 0;
    const client = async () => {
      while (begun++ < connections && !signal.aborted) await get(target, "/", context);
    };
    await Promise.all(Array.from({ length: sideBySide }, client));
    signal.throwIfAborted();
    return connections / ((await processorSeconds(worker)) - before);
  } finally {
    await nginx.stop();
  }
}

/** What the pod mounts, at the pod's paths. */
async function mounted(config: string, pki: string): Promise<Record<string, string>> {
  const read = (file: string) => readFile(join(pki, file), "utf8");
  return {
    [`${nginxPaths.config}/nginx.conf`]: config,
    [`${nginxPaths.files}/index.json`]: "{}",
    [`${nginxPaths.leaf}/tls.crt`]: await read("apiserver.crt"),
    [`${nginxPaths.leaf}/tls.key`]: await read("apiserver.key"),
    [`${nginxPaths.trust}/ca.crt`]: await read("ca.crt"),
  };
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
