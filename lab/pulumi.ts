/** The Pulumi side: CLI, language host and provider plugins (real ones if available), state, settings, a copy of the configuration. */
import { randomBytes } from "node:crypto";
import { lookup } from "node:dns/promises";
import { existsSync, globSync, readFileSync, realpathSync } from "node:fs";
import { copyFile, link as hardLink, mkdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { execa } from "execa";
import { parse, stringify } from "yaml";
import { versions } from "./binaries.ts";
import { isRunning } from "./cache.ts";
import { inCache, inCheckout, inLab, kubeconfig, searchPath, stack } from "./paths.ts";

/** The first version that honours PULUMI_OPTION_CONFIG_FILE. */
const oldestCli = [3, 208] as const;
const providers = ["kubernetes", "random", "tls"];
/** Serves the real plugins. */
const pluginHost = "get.pulumi.com";
const configFile = inCheckout(`Pulumi.${stack}.yaml`);

/** A row of the table at the end of `up`. */
export interface Piece {
  piece: string;
  kind: "real" | "stand-in";
  from: string;
}

/** A program found on this machine, or the need for a stand-in. */
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

/**
 * Looks for what is available; writes nothing except real plugins that their host serves.
 * @param built the CLI from its Go module, which fetches plugins if there is no CLI on PATH
 */
export async function findToolchain(built?: string, isServed = () => reaches(pluginHost)): Promise<Toolchain> {
  const onPath = find("pulumi", searchPath);
  const cli = onPath !== undefined && (await isRecent(onPath)) ? onPath : undefined;
  const anyCli = cli ?? built;
  const installer = anyCli !== undefined && (await isServed()) ? anyCli : undefined;
  const homes = [process.env.PULUMI_HOME || [], join(homedir(), ".pulumi"), inCache("pulumi")].flat();
  const plugins = await Promise.all(
    providers.map(async (name): Promise<Choice> => {
      const { version } = JSON.parse(
        await readFile(inCheckout("node_modules/@pulumi", name, "package.json"), "utf8"),
      ) as { version: string };
      const program = `pulumi-resource-${name}`;
      const folders = homes
        .map((home) => join(home, `plugins/resource-${name}-v${version}`))
        .filter((folder) => !existsSync(`${folder}.partial`)); // the CLI's marker while unpacking
      const found = find(program, [...searchPath, ...folders]);
      if (found !== undefined || installer === undefined) return { name, version, found };
      const { exitCode } = await execa(installer, ["plugin", "install", "resource", name, version], {
        reject: false,
        timeout: 120_000,
        env: { PULUMI_HOME: inCache("pulumi") },
      });
      return { name, version, found: exitCode === 0 ? find(program, folders) : undefined };
    }),
  );
  // Where releases put it; `plugin install` does not offer it.
  const root = process.env.PULUMI_ROOT;
  const bundles = [cli === undefined ? [] : dirname(await realpath(cli)), root ? join(root, "bin") : []].flat();
  return { cli, languageHost: find("pulumi-language-nodejs", [...searchPath, ...bundles]), plugins };
}

/** The real pieces that are missing, and how to get each. */
export function missing({ languageHost, plugins }: Toolchain): string[] {
  const host = `language host (it comes with the Pulumi CLI ${oldestCli.join(".")} or newer, https://www.pulumi.com/docs/install)`;
  const absent = plugins.filter(({ found }) => found === undefined);
  return [
    ...(languageHost === undefined ? [host] : []),
    ...absent.map(({ name, version }) => `${name} plugin (\`pulumi plugin install resource ${name} ${version}\`)`),
  ];
}

/**
 * Lays out `bin` and Pulumi's home so that the plain CLI finds everything without a warning.
 * @param built the CLI from its Go module, if there is none on PATH
 * @param standIns the multi-call stand-in, if one is needed
 */
export async function layOut(
  tools: Toolchain,
  built: string | undefined,
  standIns: string | undefined,
): Promise<Piece[]> {
  const put = async (target: string | undefined, path: string, how: (target: string) => Promise<void>) => {
    if (target === undefined) throw new Error(`No program for ${path}`);
    const program = await realpath(target); // resolved before it may vanish: with `make env`, PULUMI_HOME leads to the last run's links
    await rm(path, { force: true });
    await mkdir(dirname(path), { recursive: true });
    await how(program);
  };
  const link = (target: string | undefined, path: string) => put(target, path, (target) => symlink(target, path));
  // Not a symbolic link: the CLI looks for the language host beside its real file, and warns about any other.
  const place = (target: string | undefined, path: string) =>
    put(target, path, (target) => hardLink(target, path).catch(() => copyFile(target, path)));
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
    // No version: one found on PATH may be any.
    ...tools.plugins.map(({ name, found }) => choice(`Pulumi ${name} plugin`, found)),
  ];
}

/** What `make env` prints and every Makefile command runs with; undefined means unset. */
export function environment(): Record<string, string | undefined> {
  // The cache's Node.js is only on the Makefile's PATH; the user's own stays where it is in theirs.
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
    PULUMI_CONFIG_PASSPHRASE: undefined, // the user's own, even if empty, would take precedence over the file
    PULUMI_CONFIG_PASSPHRASE_FILE: inLab("passphrase"),
    PULUMI_STACK: stack,
    PULUMI_OPTION_CONFIG_FILE: inLab(`Pulumi.${stack}.yaml`),
    PULUMI_SKIP_UPDATE_CHECK: "true",
  };
}

/** Where the lab's own settings are kept for the next copy of the tree's configuration. */
const overlayFile = inLab("overlay.json");
/** Where the engine wrote the stack's salt. */
const saltFile = inLab(`project/Pulumi.${stack}.yaml`);

/** Creates the stack if it is missing, and a copy of its configuration with `overlay` on top; leaves the tree unchanged. */
export async function prepareStack(overlay: Record<string, unknown>): Promise<void> {
  await mkdir(inLab("state"), { recursive: true });
  if (!existsSync(inLab("passphrase")))
    await writeFile(inLab("passphrase"), randomBytes(24).toString("base64url"), { mode: 0o600 });
  // `stack select --create` writes the salt next to Pulumi.yaml, whatever the options say: give it a Pulumi.yaml elsewhere.
  const project = inLab("project");
  await mkdir(project, { recursive: true });
  await writeFile(join(project, "Pulumi.yaml"), await readFile(inCheckout("Pulumi.yaml")));
  const pulumi = (...args: string[]) =>
    execa(inLab("bin/pulumi"), args, { cwd: project, env: { ...environment(), PULUMI_OPTION_CONFIG_FILE: "" } });
  endOrphans();
  await clearStaleLocks();
  await pulumi("stack", "select", "--create", stack, "--non-interactive");
  await writeFile(overlayFile, JSON.stringify(overlay));
  await copyConfiguration();
}

/** Copies the tree's current configuration again. */
export async function copyConfiguration(): Promise<void> {
  const overlay = JSON.parse(await readFile(overlayFile, "utf8")) as Record<string, unknown>;
  const { encryptionsalt } = parse(await readFile(saltFile, "utf8")) as { encryptionsalt: string };
  await writeFile(inLab(`Pulumi.${stack}.yaml`), await configuration(overlay, encryptionsalt));
}

/** Whether the stack was created here. */
export const isPrepared = (): boolean => existsSync(saltFile);

/** The tree's configuration for the stack, merged with `overlay` one level deep. */
export async function configuration(overlay: Record<string, unknown>, encryptionsalt: string): Promise<string> {
  const name = basename(configFile);
  const header = `# A copy of ${name} with the lab's own settings on top, overwritten by every \`make\`: edit ${name} instead.\n`;
  return header + stringify({ encryptionsalt, config: merge(await settings(configFile), overlay) });
}

async function settings(file: string): Promise<Record<string, unknown>> {
  const { config = {} } = parse(await readFile(file, "utf8")) as { config?: Record<string, unknown> };
  return config;
}

/** Why the tree's configuration of the stack cannot be copied. */
export async function configProblems(file = configFile): Promise<string[]> {
  if (!existsSync(file)) return [`There is no ${file}: ${stack} (STACK) is not an environment of this project.`];
  const secrets = Object.entries(await settings(file)).filter(([, value]) =>
    /\{"secure":"[^"]*"\}/.test(JSON.stringify(value)),
  );
  if (secrets.length === 0) return [];
  const keys = secrets.map(([key]) => key).join(", ");
  return [
    `${file} holds secrets (${keys}), which the passphrase of the state that \`make\` keeps cannot decrypt: run \`pulumi up -s ${stack}\` instead. Nothing was changed.`,
  ];
}

export function merge(below: Record<string, unknown>, above: Record<string, unknown>): Record<string, unknown> {
  const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
  const merged = Object.entries(above).map(([key, value]) => [
    key,
    isObject(value) && isObject(below[key]) ? { ...(below[key] as object), ...(value as object) } : value,
  ]);
  return { ...below, ...(Object.fromEntries(merged) as Record<string, unknown>) };
}

/** Ends a killed engine's dynamic providers, which the SDK leaves running; those of a running engine are not touched. */
export function endOrphans(): void {
  const ours = processesHere();
  if (ours.some(isEngineHere)) return;
  for (const { pid } of ours.filter((process) =>
    process.arguments.some((text) => text.includes("dynamic-provider/")),
  )) {
    process.kill(pid, "SIGTERM");
  }
}

/** Ends engines left by a killed run, which would carry on and write their state where the lab was. */
export function endEngines(): void {
  for (const { pid } of processesHere().filter(isEngineHere)) process.kill(pid, "SIGKILL");
}

interface Process {
  pid: number;
  arguments: string[];
}

const isEngineHere = ({ arguments: [program = ""] }: Process) => basename(program) === "pulumi";

/** Processes that were started in the lab's environment. */
function processesHere(): Process[] {
  return globSync("/proc/[0-9]*")
    .filter((folder) =>
      contents(join(folder, "environ"))
        .split("\0")
        .includes(`PULUMI_HOME=${inLab("pulumi")}`),
    )
    .map((folder) => ({
      pid: Number(folder.slice("/proc/".length)),
      arguments: contents(join(folder, "cmdline")).split("\0"),
    }));
}

/** A process may end while it is being inspected, or belong to somebody else. */
function contents(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** Removes the lock that a killed engine left; a running engine's lock is left alone. */
async function clearStaleLocks(): Promise<void> {
  for (const file of globSync(inLab("state/.pulumi/locks/**/*.json"))) {
    const { pid } = JSON.parse(await readFile(file, "utf8")) as { pid: number };
    if (!isEngine(pid)) await rm(file);
  }
}

/** Whether an engine runs with this pid. On Linux, another program or a zombie, which has no command line, does not count. */
export function isEngine(pid: number, proc = "/proc"): boolean {
  const [program = ""] = contents(join(proc, `${pid}/cmdline`)).split("\0");
  return isRunning(pid) && (basename(program) === "pulumi" || !existsSync(join(proc, "self")));
}

/** The first such program that is not a stand-in: another lab's environment leads to its own stand-ins. */
function find(name: string, folders: string[]): string | undefined {
  return folders
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path) && !/^plugins-[0-9a-f]{16}$/.test(basename(realpathSync(path))));
}

async function isRecent(cli: string): Promise<boolean> {
  const { stdout } = await execa(cli, ["version"], { reject: false });
  const [major = 0, minor = 0] = stdout.replace(/^v/, "").split(".").map(Number);
  return major > oldestCli[0] || (major === oldestCli[0] && minor >= oldestCli[1]);
}

/** One try of three seconds: a machine without Internet access must not wait. */
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
