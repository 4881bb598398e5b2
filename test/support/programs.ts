// Where the lab's programs are: the real etcd and Kubernetes, and the stand-ins under test.

import { existsSync, readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const { LAB_BIN, MTLS_CACHE, XDG_CACHE_HOME } = process.env;

/** `LAB_BIN`, which `make test` sets; else the lab's cache, where names carry a digest. */
export const programFolder =
  LAB_BIN || join(MTLS_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "mtls-everywhere"), "bin");

/** Path of a program such as `etcd`, the newest of several; undefined if the lab has not built it. */
export function programPath(name: string): string | undefined {
  if (!existsSync(programFolder)) return undefined;
  const found = readdirSync(programFolder).filter((file) => file === name || file.startsWith(`${name}-`));
  const age = (file: string) => statSync(join(programFolder, file)).mtimeMs;
  const newest = found.sort((a, b) => age(a) - age(b)).at(-1);
  return newest === undefined ? undefined : join(programFolder, newest);
}
