/** The labs' cgroups on this machine: a folder of a lab's own in every hierarchy, which the kernel leaves when its processes end. */
import { createHash } from "node:crypto";
import { globSync } from "node:fs";
import { readdir, rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { labsOfMachine } from "./processes.ts";

const prefix = "mtls-lab-";

export const cgroupOf = (lab: string) => `${prefix}${createHash("sha256").update(lab).digest("hex").slice(0, 8)}`;

/** Removes a cgroup from all hierarchies; false while a process is in it. */
export async function removeCgroup(name: string): Promise<boolean> {
  const removed = foldersOf(name).map((folder) =>
    removeFolder(folder).then(
      () => true,
      () => false,
    ),
  );
  return (await Promise.all(removed)).every(Boolean);
}

/** Removes the cgroups of labs that have ended without `make down`, and whose folders may be gone: their names tell no more whose they are. */
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
