// A test's own lab, and Pulumi stacks in it that are run as different users.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { CoreV1Api, KubeConfig } from "@kubernetes/client-node";
import { parse, stringify } from "yaml";

import { environmentOf, makeFolder, removeFolder, settingsOf } from "../../lab/temporary.ts";

const checkout = resolve(import.meta.dirname, "../..");
const stack = "dev";

export type Config = Record<string, unknown>;

interface Settings {
  readonly encryptionsalt: string;
  readonly config: Config;
}

/** A running lab with nothing but Kubernetes. */
export class LabStacks {
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  /** The lab has already created the platform's stack. */
  readonly #platformSalt: string;
  /** The lab's own settings for the platform's stack, by key with the project's prefix. */
  readonly platformConfig: Config;
  /** The administrator's. */
  readonly kubeconfig: string;
  /** Where the user under test finds theirs. */
  readonly userKubeconfig: string;

  private constructor(folder: string, env: NodeJS.ProcessEnv, platform: Settings) {
    this.#folder = folder;
    this.#env = env;
    this.platformConfig = platform.config;
    this.#platformSalt = platform.encryptionsalt;
    this.kubeconfig = env.KUBECONFIG ?? "";
    this.userKubeconfig = join(folder, "user.kubeconfig");
  }

  static async start(): Promise<LabStacks> {
    const folder = await makeFolder("stacks");
    try {
      await lab(folder, "up");
      const { PULUMI_OPTION_CONFIG_FILE: file = "", ...env } = await environmentOf(settingsFor(folder));
      const settings = parse(await readFile(file, "utf8")) as Settings;
      return new LabStacks(folder, env, settings);
    } catch (error) {
      await end(folder).catch(() => undefined);
      throw error;
    }
  }

  async stop(): Promise<void> {
    await end(this.#folder);
  }

  /** A new service account in the namespace `users`. */
  async createUser(name: string): Promise<string> {
    const admin = this.#client();
    const namespace = "users";
    await admin.createNamespace({ body: { metadata: { name: namespace } } }).catch(() => undefined);
    await admin.createNamespacedServiceAccount({ namespace, body: { metadata: { name } } });
    const { status } = await admin.createNamespacedServiceAccountToken({
      name,
      namespace,
      body: { spec: { audiences: [], expirationSeconds: 3600 } },
    });
    const config = new KubeConfig();
    const cluster = this.#config().getCurrentCluster()!;
    config.loadFromClusterAndUser(cluster, { name, token: status!.token });
    return config.exportConfig();
  }

  /** From now on `userKubeconfig` is this user's. */
  async become(kubeconfig: string): Promise<void> {
    await writeFile(this.userKubeconfig, kubeconfig, { mode: 0o600 });
  }

  /** A stack of the program in this folder in the checkout. */
  async stack(program: string, config: Config): Promise<Stack> {
    const folder = join(checkout, program);
    const project = parse(await readFile(join(folder, "Pulumi.yaml"), "utf8")) as { name: string };
    // `stack select --create` writes the stack's salt next to Pulumi.yaml: keep that out of the checkout.
    const elsewhere = join(this.#folder, "projects", project.name);
    await mkdir(elsewhere, { recursive: true });
    await writeFile(join(elsewhere, "Pulumi.yaml"), stringify(project));
    await this.#run("pulumi", ["stack", "select", "--create", stack, "--non-interactive"], elsewhere);
    const created = join(elsewhere, `Pulumi.${stack}.yaml`);
    const encryptionsalt = existsSync(created)
      ? (parse(await readFile(created, "utf8")) as Settings).encryptionsalt
      : this.#platformSalt;
    const file = join(elsewhere, "config.yaml");
    const configure = (config: Config) => writeFile(file, stringify({ encryptionsalt, config }));
    await configure(config);
    const pulumi = (kubeconfig: string, ...args: string[]) =>
      this.#run("pulumi", [...args, "-s", stack, "--non-interactive"], folder, { KUBECONFIG: kubeconfig });
    const settled = ["--config-file", file, "--yes", "--skip-preview"];
    return {
      configure,
      up: (kubeconfig) => pulumi(kubeconfig, "up", ...settled),
      preview: (kubeconfig, ...args) => pulumi(kubeconfig, "preview", "--config-file", file, ...args),
      destroy: (kubeconfig) => pulumi(kubeconfig, "destroy", ...settled),
      outputs: async (kubeconfig) => JSON.parse(await pulumi(kubeconfig, "stack", "output", "--json")) as unknown,
    };
  }

  /** Runs a program from the checkout. */
  async node(kubeconfig: string, ...args: string[]): Promise<string> {
    return this.#run(process.execPath, args, checkout, { KUBECONFIG: kubeconfig });
  }

  async #run(program: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
    return command(program, args, cwd, { ...this.#env, ...env });
  }

  #config(): KubeConfig {
    const config = new KubeConfig();
    config.loadFromFile(this.kubeconfig);
    return config;
  }

  #client(): CoreV1Api {
    return this.#config().makeApiClient(CoreV1Api);
  }
}

/** Each method runs the CLI as a kubeconfig's user, and returns what it printed. */
export interface Stack {
  configure(config: Config): Promise<void>;
  up(kubeconfig: string): Promise<string>;
  preview(kubeconfig: string, ...args: string[]): Promise<string>;
  destroy(kubeconfig: string): Promise<string>;
  outputs(kubeconfig: string): Promise<unknown>;
}

const settingsFor = (folder: string) => settingsOf(folder, { LAB_APISIX_IMAGE: "" });

async function lab(folder: string, name: string): Promise<string> {
  return command(process.execPath, ["lab/cli.ts", name], checkout, settingsFor(folder));
}

async function end(folder: string): Promise<void> {
  await lab(folder, "down");
  await removeFolder(folder);
}

async function command(program: string, args: string[], cwd: string, env: NodeJS.ProcessEnv): Promise<string> {
  try {
    return (await promisify(execFile)(program, args, { cwd, env, maxBuffer: 1 << 26 })).stdout;
  } catch (error) {
    const { message, stdout, stderr } = error as { message: string; stdout?: string; stderr?: string };
    throw new Error(`${message}\n${stdout ?? ""}\n${stderr ?? ""}`);
  }
}
