/** The labs' cgroups on this machine: each lab has a folder in every hierarchy, which the kernel keeps when its processes end. */
import { createHash } from "node:crypto";
import { globSync } from "node:fs";
import { readdir, rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { labsOfMachine } from "./processes.ts";

const prefix = "mtls-lab-";

export const cgroupOf = (lab: string) => `${prefix}${createHash("sha256").update(lab).digest("hex").slice(0, 8)}`;

/** Removes a cgroup from all hierarchies; returns false while it has processes. */
export async function removeCgroup(name: string): Promise<boolean> {
  const removed = foldersOf(name).map((folder) =>
    removeFolder(folder).then(
      () => true,
      () => false,
    ),
  );
  return (await Promise.all(removed)).every(Boolean);
}

/** Removes the cgroups of labs that ended without `make down`, whose folders may be gone: a name no longer tells whose it is. */
export async function removeLeftCgroups(): Promise<void> {
  const running = (await labsOfMachine()).map(({ folder }) => cgroupOf(folder));
  const left = new Set(foldersOf(`${prefix}*`).map((folder) => basename(folder)));
  for (const name of left) if (!running.includes(name)) await removeCgroup(name);
}

const foldersOf = (name: string) => globSync([`/sys/fs/cgroup/${name}`, `/sys/fs/cgroup/*/${name}`]);

async function removeFolder(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true }))
    if (entry.isDirectory()) await removeFolder(join(folder, entry.name));
  await rmdir(folder);
}
