// What a lab could leave on its host: processes, namespaces, mounts, links, cgroups, packet filter rules.

import { execFileSync } from "node:child_process";
import { existsSync, globSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

/** The host's mounts and network links, for comparison before and after. */
export function hostState(): {
  readonly mounts: readonly string[];
  readonly links: readonly string[];
  readonly tables: string;
} {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").trim().split("\n");
  return {
    mounts: mounts.map((line) => line.split(" ").slice(3, 5).join(" ")),
    links: readdirSync("/sys/class/net").sort(),
    tables: existsSync("/proc/net/ip_tables_names") ? readFileSync("/proc/net/ip_tables_names", "utf8") : "",
  };
}

/** What identifies a running lab from outside. */
export interface Traces {
  /** Its namespaces, such as `pid:[4026532190]`, without the host's. */
  readonly namespaces: readonly string[];
  /** The name of its folder below /sys/fs/cgroup. */
  readonly cgroup: string;
}

/** Looks at a running lab's processes, those with its folder in their command line. */
export function tracesOf(folder: string): Traces {
  const own = new Set(named(folder).flatMap(namespacesOf));
  for (const namespace of namespacesOf("self")) own.delete(namespace);
  const { cgroup } = JSON.parse(readFileSync(`${folder}/config/node.json`, "utf8")) as { cgroup: string };
  return { namespaces: [...own].sort(), cgroup };
}

/** Processes that have the folder in their command line or are in one of the namespaces. */
export function processesLeft(folder: string, { namespaces }: Traces): string[] {
  const pids = new Set([...named(folder), ...processesIn(namespaces)]);
  return [...pids].map((pid) => `${pid} ${read(pid, "comm").trim()} ${read(pid, "cmdline").replaceAll("\0", " ")}`);
}

export function cgroupsLeft({ cgroup }: Traces): string[] {
  return globSync([`/sys/fs/cgroup/${cgroup}`, `/sys/fs/cgroup/*/${cgroup}`]);
}

/** Packet filter rules of the host's or the lab's network, read with the lab's own iptables. */
export function packetFilter(network: "host" | "lab", { namespaces }: Traces): string {
  const [pid = ""] = processesIn(namespaces.filter((namespace) => namespace.startsWith("net:")));
  const into = ["--target", pid, "--mount", ...(network === "lab" ? ["--net"] : [])];
  return execFileSync("nsenter", [...into, "--", "iptables-save"], { encoding: "utf8", stdio: "pipe" });
}

function named(folder: string): string[] {
  return processes().filter((pid) => read(pid, "cmdline").includes(`${folder}/`));
}

function processesIn(namespaces: readonly string[]): string[] {
  return processes().filter((pid) => namespacesOf(pid).some((namespace) => namespaces.includes(namespace)));
}

function namespacesOf(pid: string): string[] {
  return ["pid", "mnt", "net"].flatMap((kind) => {
    try {
      return [readlinkSync(`/proc/${pid}/ns/${kind}`)];
    } catch {
      return []; // it has ended
    }
  });
}

function processes(): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
}

function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // it has ended
  }
}
