// What a lab could leave on its host: processes, namespaces, mounts, links, cgroups, packet filter rules.

import { execFileSync } from "node:child_process";
import { existsSync, globSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Mounts and network links of the host, to be compared before and after. */
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

/** Where a running lab is seen from outside. */
export interface Traces {
  /** Its namespaces, such as `pid:[4026532190]`; those of the host are not among them. */
  readonly namespaces: readonly string[];
  /** Its folders below /sys/fs/cgroup. */
  readonly cgroups: readonly string[];
}

/** Looks at the processes of a lab that is up: those that carry its folder in their command line, and all in their namespaces. */
export function tracesOf(folder: string): Traces {
  const init = processes().filter((pid) => read(pid, "cmdline").includes(`${folder}/`));
  const own = new Set(init.flatMap(namespacesOf));
  for (const namespace of namespacesOf("self")) own.delete(namespace);
  const cgroups = processesIn([...own]).flatMap((pid) =>
    read(pid, "cgroup")
      .split("\n")
      .flatMap((line) => /\/(mtls-lab-[^/\n]+)/.exec(line)?.[1] ?? []),
  );
  return { namespaces: [...own].sort(), cgroups: [...new Set(cgroups)].sort() };
}

/** Processes that carry the folder in their command line or live in one of the namespaces. */
export function leftProcesses(folder: string, { namespaces }: Traces): string[] {
  const named = processes().filter((pid) => read(pid, "cmdline").includes(`${folder}/`));
  return [...new Set([...named, ...processesIn(namespaces)])].map((pid) => read(pid, "cmdline").replaceAll("\0", " "));
}

export function leftCgroups({ cgroups }: Traces): string[] {
  return cgroups.flatMap((name) => globSync([`/sys/fs/cgroup/${name}`, `/sys/fs/cgroup/*/${name}`]));
}

/** The host's packet filter rules, read with the lab's own iptables: it sees the host's network. */
export function packetFilter({ namespaces }: Traces): string {
  const [pid = ""] = processesIn(namespaces.filter((namespace) => namespace.startsWith("mnt:")));
  const inHostNetwork = ["--target", pid, "--mount", "--", "iptables-save"];
  return execFileSync("nsenter", inHostNetwork, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
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
