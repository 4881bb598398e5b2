/** Where things are: the cache that every checkout shares, and the folder of one running lab. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";

// make exports even empty variables, so empty means absent here.
const env = process.env;

export const checkout = resolve(import.meta.dirname, "..");
/** Finished parts, keyed by their content; `make clean-cache` removes it. */
export const cache = resolve(
  env.MTLS_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "mtls-everywhere"),
);
/** The kubeconfig context of the user's own cluster; if set, no lab is started. */
export const context = env.CONTEXT || undefined;
export const stack = env.STACK || "dev";
// Contexts may have any name: a colon would end the folder's entry in PATH, and a percent sign is decoded in a file URL.
const plain = (name: string) => encodeURIComponent(name).replaceAll("%", "=");
/**
 * All that one lab has on disk: two folders are two labs. Each stack on a named cluster has a folder too, with its Pulumi
 * state; LAB_DIR is then the parent folder, so that `down` for one stack leaves the others' state alone.
 */
export const lab =
  context === undefined
    ? resolve(env.LAB_DIR || join(checkout, ".lab"))
    : resolve(env.LAB_DIR || join(checkout, ".context"), `${plain(context)}@${plain(stack)}`);

/** Whether the command is about one particular lab rather than the checkout's default one. */
export const isNamed = context !== undefined || Boolean(env.LAB_DIR);

export const inCache = (...parts: string[]) => join(cache, ...parts);
export const inLab = (...parts: string[]) => join(lab, ...parts);
export const inCheckout = (...parts: string[]) => join(checkout, ...parts);
export const kubeconfig = inLab("kubeconfig");
/** Programs on PATH, except the lab's own. */
export const searchPath = (env.PATH ?? "")
  .split(":")
  .map((folder) => folder.replace(/\/+$/, ""))
  .filter((folder) => folder !== "" && folder !== inLab("bin"));
