/** One running lab: started, checked for health, and taken down without a trace. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { copyFile, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { stringify } from "yaml";
import { cgroupOf, removeCgroup } from "./cgroups.ts";
import { run, volumes } from "./inside/addresses.ts";
import { configFiles, type NodeSpec } from "./inside/components.ts";
import { inLab, kubeconfig, lab } from "./paths.ts";
import { makePki } from "./pki.ts";
import { freePort } from "./ports.ts";
import { init, processesOf, specFileOf } from "./processes.ts";

/** How long a startup step may take; usually seconds, on loaded cores up to a minute. */
const patience = 120_000;
const cgroup = cgroupOf(lab);
const specFile = specFileOf(lab);
/** Becomes `kubeconfig` once the cluster is complete; until then the lab counts as broken. */
const earlyKubeconfig = inLab("config/host.kubeconfig");

export interface Parts {
  kube: string;
  coredns: string;
  pause: string;
  debian: string;
  /** Image archives; one with a name is imported under that name only. */
  images: { archive: string; name?: string }[];
}

/** Starts a fresh cluster; `progress` hears of each step. */
export async function startCluster({ images, ...parts }: Parts, progress: (line: string) => void): Promise<void> {
  await mkdir(inLab("log"), { recursive: true });
  const spec: NodeSpec = {
    ...parts,
    port: await freePort(),
    config: inLab("config"),
    pki: inLab("config/pki"),
    logs: inLab("log"),
    cgroup,
  };
  const admin = await makePki(spec.pki, spec.port);
  await mkdir(join(spec.config, "cni"), { recursive: true });
  for (const [name, text] of Object.entries(configFiles(spec))) await writeFile(join(spec.config, name), text);
  await writeFile(earlyKubeconfig, admin, { mode: 0o600 });
  await writeFile(specFile, JSON.stringify(spec, null, 2));

  const log = await open(inLab("log/init.log"), "a");
  const namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const child = spawn("unshare", [...namespaces, process.execPath, "--no-warnings", init, specFile], {
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
  });
  await once(child, "spawn");
  child.unref();
  await log.close();

  progress("starting containerd");
  await until("containerd answers", async () => (await inside("ctr", "-a", run.socket, "version")).exitCode === 0);
  await addImages(images, progress);
  progress("starting Kubernetes");
  await until("the API server answers", async () => (await kubectl(["get", "--raw", "/readyz"])).exitCode === 0);
  await kubectlOrThrow(["apply", "-f", join(import.meta.dirname, "base.yaml")]);
  await kubectlOrThrow(
    ["apply", "-f", "-"],
    volumes
      .map(volume)
      .map((object) => stringify(object))
      .join("---\n"),
  );
  await until("the node is ready", nodeReady);
  await copyFile(earlyKubeconfig, kubeconfig);
}

/** Imports images that the lab lacks; pods started from now on use them. */
export async function addImages(images: Parts["images"], progress: (line: string) => void = () => {}): Promise<void> {
  const list = inLab("config/images.json");
  const there = existsSync(list) ? (JSON.parse(await readFile(list, "utf8")) as string[]) : [];
  for (const { archive, name } of images) {
    if (there.includes(archive) && name === undefined) continue; // named by content, unlike the user's
    progress(`importing ${archive.split("/").at(-1)}`);
    await importImage(archive, name);
  }
  await writeFile(list, JSON.stringify(images.map(({ archive }) => archive)));
}

/** Whether there is a complete lab, a broken or unfinished one, or none. */
export async function health(): Promise<"up" | "broken" | "down"> {
  const [running] = await processesOf(lab);
  if (running === undefined && !existsSync(inLab("config"))) return "down";
  return running !== undefined && existsSync(kubeconfig) && (await nodeReady()) ? "up" : "broken";
}

/** Kills every process of this lab, and with them its mounts, links and rules; then removes its cgroup and files. */
export async function stopCluster(): Promise<void> {
  for (const pid of await processesOf(lab)) kill(pid);
  await until("the lab's processes end", async () => (await processesOf(lab)).length === 0, false);
  await until(`the cgroup ${cgroup} is free`, () => removeCgroup(cgroup), false);
  for (const name of ["kubeconfig", "config", "log", "state"]) await rm(inLab(name), { recursive: true, force: true });
}

/** Wipes volumes that are no longer claimed, and makes them available again. */
export async function recycleVolumes(): Promise<number> {
  const { items } = JSON.parse((await kubectlOrThrow(["get", "pv", "-o", "json"])).stdout) as {
    items: { metadata: { name: string }; status: { phase: string } }[];
  };
  const released = items.filter(
    ({ metadata, status }) => status.phase === "Released" && volumes.includes(metadata.name),
  );
  for (const { metadata } of released) {
    await kubectlOrThrow(["delete", "pv", metadata.name]);
    const path = join(run.volumes, metadata.name);
    await inside("sh", "-c", `rm -rf ${path} && mkdir ${path}`);
    await kubectlOrThrow(["apply", "-f", "-"], stringify(volume(metadata.name)));
  }
  return released.length;
}

/** A command in the lab's mount namespace: Debian's programs and the node's files, the host's network. */
async function inside(...command: string[]) {
  const pid = (await processesOf(lab)).at(-1);
  if (pid === undefined)
    throw new Error(`The lab in ${lab} has no processes left; see ${inLab("log/init.log")}:\n${await tail()}`);
  return execa("nsenter", ["--target", String(pid), "--mount", "--", ...command], { reject: false });
}

async function importImage(archive: string, name?: string): Promise<void> {
  const flags = name === undefined ? [] : ["--index-name", name];
  const { exitCode, stderr } = await inside(
    "ctr",
    "-a",
    run.socket,
    "-n",
    "k8s.io",
    "images",
    "import",
    ...flags,
    archive,
  );
  if (exitCode !== 0)
    throw new Error(`containerd cannot import ${archive}: it takes OCI and docker archives. It says: ${stderr}`);
}

/** Runs kubectl against this lab, with the binary that the lab was started with. */
async function kubectl(args: string[], input = "") {
  const { kube } = JSON.parse(await readFile(specFile, "utf8")) as NodeSpec;
  return execa(kube, ["kubectl", `--kubeconfig=${earlyKubeconfig}`, "--request-timeout=10s", ...args], {
    input,
    env: { KUBECACHEDIR: inLab("kube-cache") },
    reject: false,
  });
}

async function kubectlOrThrow(args: string[], input = "") {
  const result = await kubectl(args, input);
  if (result.exitCode !== 0) throw new Error(`kubectl ${args.join(" ")}: ${result.stderr}`);
  return result;
}

async function nodeReady(): Promise<boolean> {
  const path = '{.items[*].status.conditions[?(@.type=="Ready")].status}';
  return (await kubectl(["get", "nodes", "-o", `jsonpath=${path}`])).stdout === "True";
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function volume(name: string) {
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name },
    spec: {
      capacity: { storage: "10Gi" },
      accessModes: ["ReadWriteOnce"],
      persistentVolumeReclaimPolicy: "Retain",
      storageClassName: "local",
      local: { path: join(run.volumes, name) },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: ["lab"] }] },
          ],
        },
      },
    },
  };
}

async function tail(): Promise<string> {
  const text = await readFile(inLab("log/init.log"), "utf8").catch(() => "");
  return text.split("\n").slice(-12).join("\n");
}

/** Waits until `done`; gives up if the lab's processes have ended, unless that is the point. */
async function until(what: string, done: () => Promise<boolean>, running = true): Promise<void> {
  for (const end = Date.now() + patience; !(await done()); await sleep(200)) {
    if (running && (await processesOf(lab)).length === 0)
      throw new Error(`The lab in ${lab} ended before ${what}:\n${await tail()}`);
    if (Date.now() > end)
      throw new Error(
        `Gave up after ${patience / 1000} s waiting until ${what}. Look at ${inLab("log")}, then run the command again.`,
      );
  }
}
