/** Refuses to start on a machine that cannot run the lab, saying what is missing and what to do; creates nothing. */
import { existsSync, globSync } from "node:fs";
import { access, constants, readFile, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { goVersion } from "./binaries.ts";
import { cache, searchPath } from "./paths.ts";

const gibibyte = 2 ** 30;
const needed = { cold: 15, warm: 2 };
const programs = {
  unshare: "util-linux",
  nsenter: "util-linux",
  mount: "mount",
  tar: "tar",
  "apt-get": "apt",
  "dpkg-deb": "dpkg",
};
const elsewhere = "To use your own cluster, run `make up CONTEXT=name` with a context of your kubeconfig.";

export interface Machine {
  platform: string;
  root: boolean;
  /** Go's version; undefined without Go. */
  go?: string;
  wantedGo: string;
  missing: string[];
  freeGiB: number;
  /** Whether the cache holds finished binaries. */
  warm: boolean;
  cgroups: boolean;
  namespaces: boolean;
}

/** Every reason why the lab cannot start on this machine, one sentence each. */
export function problems(machine: Machine): string[] {
  if (machine.platform !== "linux")
    return [`The lab needs Linux, and this is ${machine.platform}: Kubernetes nodes run nowhere else. ${elsewhere}`];
  if (!machine.root)
    return [`The lab needs root for its own namespaces and mounts: run the command as root. ${elsewhere}`];
  const all = goProblems(machine).map((problem) => (machine.go === undefined ? `${problem} ${elsewhere}` : problem));
  for (const program of machine.missing)
    all.push(
      `There is no \`${program}\` on PATH: install the package ${programs[program as keyof typeof programs]} (the lab needs Debian or Ubuntu).`,
    );
  const space = machine.warm ? needed.warm : needed.cold;
  if (machine.freeGiB < space)
    all.push(
      `${cache} is on a file system with ${machine.freeGiB.toFixed(1)} GiB free, the lab needs ${space}: free some space, or set MTLS_CACHE to a folder elsewhere.`,
    );
  if (!machine.cgroups)
    all.push(
      "/sys/fs/cgroup cannot be written: give this container writable cgroups of its own (`--privileged`), or use a real machine.",
    );
  if (!machine.namespaces)
    all.push(
      "This kernel or container does not let root create namespaces: `unshare --mount --pid --net true` must work.",
    );
  return all;
}

/** Why nothing can be built on it. */
export function goProblems({ go, wantedGo }: Pick<Machine, "go" | "wantedGo">): string[] {
  const remedy = `install Go ${wantedGo} or newer.`;
  if (go === undefined) return [`There is no \`go\` on PATH: ${remedy}`];
  return compare(go, wantedGo) < 0 ? [`The \`go\` on PATH is ${go}, lab/go.mod needs ${wantedGo}: ${remedy}`] : [];
}

/** The machine's Go, and the oldest that the lab needs. */
export async function lookForGo(): Promise<Pick<Machine, "go" | "wantedGo">> {
  const module = await readFile(join(import.meta.dirname, "go.mod"), "utf8");
  return {
    go: onPath("go") ? (await goVersion()).replace(/^go/, "") : undefined,
    wantedGo: /^go (\S+)$/m.exec(module)?.[1] ?? "",
  };
}

function onPath(name: string): boolean {
  return searchPath.some((folder) => existsSync(join(folder, name)));
}

export async function look(): Promise<Machine> {
  const linux = process.platform === "linux";
  return {
    ...(await lookForGo()),
    platform: process.platform,
    root: process.getuid?.() === 0,
    missing: Object.keys(programs).filter((name) => !onPath(name)),
    freeGiB: await freeGiB(cache),
    warm: globSync(join(cache, "bin/kube-*")).length > 0,
    cgroups: await access("/sys/fs/cgroup", constants.W_OK).then(
      () => true,
      () => false,
    ),
    namespaces:
      linux &&
      (await execa("unshare", ["--mount", "--pid", "--net", "--fork", "true"], { reject: false })).exitCode === 0,
  };
}

async function freeGiB(folder: string): Promise<number> {
  if (!existsSync(folder)) return freeGiB(dirname(folder));
  const { bavail, bsize } = await statfs(folder);
  return (bavail * bsize) / gibibyte;
}

function compare(one: string, other: string): number {
  const [a = [], b = []] = [one, other].map((version) => version.split(".").map((part) => parseInt(part, 10)));
  const at = [0, 1, 2].find((index) => (a[index] ?? 0) !== (b[index] ?? 0));
  return at === undefined ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}
