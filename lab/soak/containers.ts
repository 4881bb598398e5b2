/** A lab's containers as seen from the machine: networks to enter, processes that survive, and what they use. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { V1Pod } from "@kubernetes/client-node";
import { run } from "../inside/addresses.ts";
import { processesOf } from "../processes.ts";

/** The lab's own network, from which Services and pods are reachable: a file for `nsenter --net`. */
export async function labNetwork(lab: string): Promise<string> {
  const pid = (await processesOf(lab)).at(-1);
  if (pid === undefined) throw new Error(`No lab is running in ${lab}.`);
  return `/proc/${pid}/root${run.network}`;
}

/** A pod's network, while one of its containers runs. */
export function podNetwork(pod: V1Pod): string | undefined {
  const pid = containersOf(pod).flatMap(({ id }) => processesIn(id))[0];
  return pid === undefined ? undefined : `/proc/${pid}/ns/net`;
}

/** One line per container: its restart count, and its processes by name, pid and start time. */
export function processTable(pods: readonly V1Pod[]): string[] {
  const lines = pods.flatMap((pod) =>
    containersOf(pod).map(({ name, id, restarts }) => {
      const processes = processesIn(id).map((pid) => `${read(pid, "comm").trim()} ${pid}@${startOf(pid)}`);
      return `${pod.metadata?.name}/${name}: ${restarts} restarts; ${processes.join(", ")}`;
    }),
  );
  return lines.sort();
}

export interface Usage {
  /** Working set in MiB, as the kubelet counts it. */
  readonly workingSet: number;
  /** CPU seconds since the container started. */
  readonly cpu: number;
}

/** What the container with this name uses, by pod; pods without one are left out. */
export function usageOf(pods: readonly V1Pod[], container: string): Map<string, Usage> {
  const found = pods.flatMap((pod) =>
    containersOf(pod)
      .filter(({ name }) => name === container)
      .flatMap(({ id }) => processesIn(id).slice(0, 1))
      .map((pid): [string, Usage] => [pod.metadata?.name ?? "", usage(pid)]),
  );
  return new Map(found);
}

interface Container {
  readonly name: string;
  readonly id: string;
  readonly restarts: number;
}

/** The running ones, sidecars included. */
function containersOf({ status }: V1Pod): Container[] {
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  return all
    .filter(({ state }) => state?.running)
    .map(({ name, containerID = "", restartCount }) => ({
      name,
      id: containerID.split("//").at(-1) ?? "",
      restarts: restartCount,
    }));
}

/** The pids of a container's processes on this machine, the first one first. */
function processesIn(container: string): number[] {
  if (!container) return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && read(Number(name), "cgroup").includes(container))
    .map(Number)
    .sort((a, b) => a - b);
}

/** In ticks since boot: together with the pid, it identifies a process for good. */
function startOf(pid: number): string {
  // The program's name, in parentheses, may contain spaces.
  return read(pid, "stat").split(") ").at(-1)?.split(" ")[19] ?? "";
}

function usage(pid: number): Usage {
  const lines = read(pid, "cgroup").trim().split("\n");
  const hierarchies = lines.map((line) => /^\d+:([^:]*):(.*)$/.exec(line)?.slice(1) as [string, string]);
  const folder = (controller: string) => {
    const path = hierarchies.find(([controllers]) => controllers.split(",").includes(controller))?.[1];
    return path === undefined ? undefined : join("/sys/fs/cgroup", controller, path);
  };
  const [memory, cpu] = [folder("memory"), folder("cpuacct")];
  if (memory && cpu) {
    const used =
      number(join(memory, "memory.usage_in_bytes")) - entry(join(memory, "memory.stat"), "total_inactive_file");
    return { workingSet: used / 2 ** 20, cpu: number(join(cpu, "cpuacct.usage")) / 1e9 };
  }
  const unified = join("/sys/fs/cgroup", hierarchies.find(([controllers]) => controllers === "")?.[1] ?? "");
  const used = number(join(unified, "memory.current")) - entry(join(unified, "memory.stat"), "inactive_file");
  return { workingSet: used / 2 ** 20, cpu: entry(join(unified, "cpu.stat"), "usage_usec") / 1e6 };
}

const number = (file: string) => Number(readFileSync(file, "utf8"));

/** The value in a file's line `name value`. */
function entry(file: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(readFileSync(file, "utf8"))?.[1] ?? 0);
}

/** A process may end while it is being inspected. */
function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}
