/** The Pulumi side: CLI, language host and provider plugins (real ones where they are there), state, settings and a copy of the configuration. */
import { randomBytes } from "node:crypto";
import { lookup } from "node:dns/promises";
import { existsSync, globSync, readFileSync } from "node:fs";
import { copyFile, link as hardLink, mkdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { execa } from "execa";
import { parse, stringify } from "yaml";
import { versions } from "./binaries.ts";
import { inCache, inCheckout, inLab, kubeconfig, searchPath, stack } from "./paths.ts";

const oldestCli = [3, 200] as const;
const providers = ["kubernetes", "random", "tls"];
/** Serves the real plugins. */
const pluginHost = "get.pulumi.com";

/** One line of the table at the end of `up`. */
export interface Piece {
  piece: string;
  kind: "real" | "stand-in";
  from: string;
}

/** A program found on this machine, or that a stand-in is needed. */
interface Choice {
  name: string;
  version: string;
  found?: string;
}

export interface Toolchain {
  cli?: string;
  languageHost?: string;
  plugins: Choice[];
}

/** Looks for what is there; nothing is written but real plugins that their host serves. */
export async function findToolchain(): Promise<Toolchain> {
  const cli = onPath("pulumi");
  const usable =
    cli !== undefined && isRecent((await execa(cli, ["version"], { reject: false })).stdout) ? cli : undefined;
  const online = await reaches(pluginHost);
  const plugins = await Promise.all(
    providers.map(async (name): Promise<Choice> => {
      const { version } = JSON.parse(
        await readFile(inCheckout("node_modules/@pulumi", name, "package.json"), "utf8"),
      ) as { version: string };
      const program = `pulumi-resource-${name}`;
      const folder = `resource-${name}-v${version}`;
      const installed = join(homedir(), ".pulumi/plugins", folder, program);
      const found = onPath(program) ?? (existsSync(installed) ? installed : undefined);
      if (found !== undefined || !online || usable === undefined) return { name, version, found };
      const result = await execa(usable, ["plugin", "install", "resource", name, version], {
        reject: false,
        timeout: 120_000,
        env: { PULUMI_HOME: inCache("pulumi") },
      });
      return { name, version, found: result.exitCode === 0 ? inCache("pulumi/plugins", folder, program) : undefined };
    }),
  );
  return { cli: usable, languageHost: onPath("pulumi-language-nodejs"), plugins };
}

export function needsStandIns({ languageHost, plugins }: Toolchain): boolean {
  return languageHost === undefined || plugins.some(({ found }) => found === undefined);
}

/**
 * Lays out `bin` and Pulumi's home so that the plain CLI finds everything without a warning.
 * @param built the CLI from its Go module, when none is on PATH
 * @param standIns the multi-call stand-in, when one is needed
 */
export async function layOut(
  tools: Toolchain,
  built: string | undefined,
  standIns: string | undefined,
): Promise<Piece[]> {
  const put = async (target: string | undefined, path: string, how: (target: string) => Promise<void>) => {
    if (target === undefined) throw new Error(`No program for ${path}`);
    await rm(path, { force: true });
    await mkdir(dirname(path), { recursive: true });
    await how(target);
  };
  const link = (target: string | undefined, path: string) => put(target, path, (target) => symlink(target, path));
  // Not a symbolic link: the CLI looks for the language host beside the file that it really is, and warns about any other.
  const place = (target: string | undefined, path: string) =>
    put(target, path, async (target) => hardLink(await realpath(target), path).catch(() => copyFile(target, path)));
  const launcher = "pulumi-resource-pulumi-nodejs";
  await place(tools.cli ?? built, inLab("bin/pulumi"));
  await link(tools.languageHost ?? standIns, inLab("bin/pulumi-language-nodejs"));
  await link(inCheckout("node_modules/@pulumi/pulumi", launcher), inLab("bin", launcher));
  for (const { name, version, found } of tools.plugins)
    await link(found ?? standIns, inLab(`pulumi/plugins/resource-${name}-v${version}/pulumi-resource-${name}`));
  const ours = "lab/standins/plugins";
  const choice = (piece: string, found: string | undefined): Piece => ({
    piece,
    kind: found === undefined ? "stand-in" : "real",
    from: found ?? ours,
  });
  return [
    { piece: "Pulumi CLI", kind: "real", from: tools.cli ?? `Go module, v${versions.pulumi}` },
    choice("Pulumi language host", tools.languageHost),
    ...tools.plugins.map(({ name, version, found }) => choice(`Pulumi ${name} plugin v${version}`, found)),
  ];
}

/** What `make env` prints, and every command of the Makefile runs with. */
export function environment(): Record<string, string> {
  // The Node.js of the cache is on the Makefile's PATH alone; one of the user's stays where it is in theirs.
  const node = dirname(process.execPath);
  const path = node.startsWith(inCache())
    ? [inLab("bin"), node, ...searchPath.filter((folder) => folder !== node)]
    : [inLab("bin"), ...searchPath];
  return {
    PATH: path.join(":"),
    KUBECONFIG: kubeconfig,
    KUBECACHEDIR: inLab("kube-cache"),
    HELM_CACHE_HOME: inLab("helm-cache"),
    PULUMI_HOME: inLab("pulumi"),
    PULUMI_BACKEND_URL: `file://${inLab("state")}`,
    PULUMI_CONFIG_PASSPHRASE_FILE: inLab("passphrase"),
    PULUMI_STACK: stack,
    PULUMI_OPTION_CONFIG_FILE: inLab(`Pulumi.${stack}.yaml`),
    PULUMI_SKIP_UPDATE_CHECK: "true",
  };
}

/** Makes the stack when it is not there, and a copy of its configuration with `overlay` laid over it: the tree stays as it is. */
export async function prepareStack(overlay: Record<string, unknown>): Promise<void> {
  await mkdir(inLab("state"), { recursive: true });
  if (!existsSync(inLab("passphrase")))
    await writeFile(inLab("passphrase"), randomBytes(24).toString("base64url"), { mode: 0o600 });
  // `stack select --create` writes its salt beside Pulumi.yaml, whatever the options say: give it a Pulumi.yaml elsewhere.
  const project = inLab("project");
  await mkdir(project, { recursive: true });
  await writeFile(join(project, "Pulumi.yaml"), await readFile(inCheckout("Pulumi.yaml")));
  const pulumi = (...args: string[]) =>
    execa(inLab("bin/pulumi"), args, { cwd: project, env: { ...environment(), PULUMI_OPTION_CONFIG_FILE: "" } });
  endOrphans();
  await clearStaleLocks();
  await pulumi("stack", "select", "--create", stack, "--non-interactive");
  const { encryptionsalt } = parse(await readFile(join(project, `Pulumi.${stack}.yaml`), "utf8")) as {
    encryptionsalt: string;
  };
  await writeFile(inLab(`Pulumi.${stack}.yaml`), await configuration(overlay, encryptionsalt));
}

/** The tree's configuration of the stack, merged with `overlay`, one level deep. */
export async function configuration(overlay: Record<string, unknown>, encryptionsalt: string): Promise<string> {
  const name = `Pulumi.${stack}.yaml`;
  const file = inCheckout(name);
  if (!existsSync(file)) throw new Error(`There is no ${file}: STACK=${stack} names no environment of this project.`);
  const { config = {} } = parse(await readFile(file, "utf8")) as { config?: Record<string, unknown> };
  const header = `# A copy of ${name} with the lab's own settings laid over it, written anew by every \`make\`: change ${name} instead.\n`;
  return header + stringify({ encryptionsalt, config: merge(config, overlay) });
}

export function merge(below: Record<string, unknown>, above: Record<string, unknown>): Record<string, unknown> {
  const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
  const merged = Object.entries(above).map(([key, value]) => [
    key,
    isObject(value) && isObject(below[key]) ? { ...(below[key] as object), ...(value as object) } : value,
  ]);
  return { ...below, ...(Object.fromEntries(merged) as Record<string, unknown>) };
}

/** Ends the dynamic providers of a killed engine: the SDK's do not notice that it has gone. None of a running one is touched. */
export function endOrphans(): void {
  const processes = globSync("/proc/[0-9]*").map((folder) => ({
    pid: Number(folder.slice("/proc/".length)),
    arguments: contents(join(folder, "cmdline")).split("\0"),
    ours: contents(join(folder, "environ"))
      .split("\0")
      .includes(`PULUMI_HOME=${inLab("pulumi")}`),
  }));
  const ours = processes.filter(({ ours }) => ours);
  if (ours.some(({ arguments: [program = ""] }) => basename(program) === "pulumi")) return;
  for (const { pid } of ours.filter((process) =>
    process.arguments.some((text) => text.includes("dynamic-provider/")),
  )) {
    process.kill(pid, "SIGTERM");
  }
}

/** A process may end, or be somebody else's, while it is looked at. */
function contents(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** A killed engine leaves its lock; one of a living engine is left alone. A process that is yet to be reaped has no command line. */
async function clearStaleLocks(): Promise<void> {
  for (const file of globSync(inLab("state/.pulumi/locks/**/*.json"))) {
    const { pid } = JSON.parse(await readFile(file, "utf8")) as { pid: number };
    const [program = ""] = contents(`/proc/${pid}/cmdline`).split("\0");
    if (basename(program) !== "pulumi") await rm(file);
  }
}

function onPath(name: string): string | undefined {
  return searchPath.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

function isRecent(version: string): boolean {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  return major > oldestCli[0] || (major === oldestCli[0] && minor >= oldestCli[1]);
}

/** One try, three seconds: a machine without the Internet must not wait. */
async function reaches(host: string): Promise<boolean> {
  const limit = AbortSignal.timeout(3000);
  const tooLate = new Promise<boolean>((resolve) => limit.addEventListener("abort", () => resolve(false)));
  const attempt = lookup(host)
    .then(() => fetch(`https://${host}`, { method: "HEAD", signal: limit }))
    .then(
      () => true,
      () => false,
    );
  return Promise.race([attempt, tooLate]);
}
