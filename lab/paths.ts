/** Where things are: the cache that every checkout shares, and the folder of one running lab. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";

const env = process.env;

export const checkout = resolve(import.meta.dirname, "..");
/** Finished parts, keyed by their content; `make clean-cache` removes it. */
export const cache = resolve(env.MTLS_CACHE ?? join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "mtls-everywhere"));
/** All that one running lab has on disk; two folders are two labs. */
export const lab = resolve(env.LAB_DIR ?? join(checkout, ".lab"));
export const stack = env.STACK ?? "dev";

export const inCache = (...parts: string[]) => join(cache, ...parts);
export const inLab = (...parts: string[]) => join(lab, ...parts);
export const kubeconfig = inLab("kubeconfig");
