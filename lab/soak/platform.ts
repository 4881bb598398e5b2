/** A platform in the soak's own lab: configured as a person would, and brought up with the plain CLI. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import { execa } from "execa";
import { parse, stringify } from "yaml";

import { parseOutputs, type PlatformOutputs } from "../../outputs.ts";
import type { Report } from "../../tools/verify/run.ts";
import { checkout, inCheckout } from "../paths.ts";
import { environmentOf, makeFolder, removeFolder, settingsOf } from "../temporary.ts";
import { firstOf, type PlatformForm, type Roots } from "./forms.ts";

/** What the soak changes in a stack's configuration. */
export interface Wanted {
  readonly roots: Roots | { readonly kind: "cluster" };
  readonly gateways: number;
}

/** How a command went; `problem` is undefined if it succeeded. */
export interface Outcome {
  readonly seconds: number;
  readonly problem?: string;
}

/** How a command ended, and what it printed. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  /** Both streams as they came. */
  readonly output: string;
}

const lab = inCheckout("lab/cli.ts");

export class Platform {
  readonly form: PlatformForm;
  readonly #folder: string;
  /** File of the stack's configuration. */
  readonly settings: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #signal: AbortSignal;
  readonly cluster: Cluster;

  private constructor(form: PlatformForm, folder: string, env: NodeJS.ProcessEnv, signal: AbortSignal) {
    this.form = form;
    this.#folder = folder;
    this.settings = join(folder, "Pulumi.soak.yaml");
    this.#env = { ...env, PULUMI_OPTION_CONFIG_FILE: this.settings, NO_COLOR: "1" };
    this.#signal = signal;
    this.cluster = new Cluster({ kubeconfig: env.KUBECONFIG });
  }

  /** Starts an empty lab. */
  static async start(form: PlatformForm, signal: AbortSignal): Promise<Platform> {
    const folder = await makeFolder("soak");
    const settings = settingsOf(folder);
    try {
      await execa(process.execPath, [lab, "up"], { env: settings, extendEnv: false, cancelSignal: signal });
      return new Platform(form, folder, await environmentOf(settings), signal);
    } catch (error) {
      await end(folder);
      throw error;
    }
  }

  get lab(): string {
    return join(this.#folder, "lab");
  }

  /** The initial generation of roots. */
  wantedFirst(): Wanted {
    const { root, gateways } = this.form;
    const active = firstOf[root];
    return {
      roots: root === "cluster" ? { kind: root } : { kind: root, active, trusted: [active] },
      gateways: gateways[0] ?? 1,
    };
  }

  /** Writes the configuration, then runs `pulumi up`. */
  async up({ roots, gateways }: Wanted): Promise<Outcome> {
    const base = parse(await readFile(join(this.lab, "Pulumi.dev.yaml"), "utf8")) as { config: Record<string, object> };
    const config = {
      ...base.config,
      "mtls-everywhere:pki": { root: roots },
      "mtls-everywhere:etcd": { ...base.config["mtls-everywhere:etcd"], replicas: this.form.members },
      "mtls-everywhere:apisix": { replicas: gateways },
    };
    await writeFile(this.settings, stringify({ ...base, config }));
    return this.pulumi("up", "--yes", "--skip-preview");
  }

  pulumi(...args: string[]): Promise<Outcome> {
    return this.#run("pulumi", [...args, "--non-interactive"]);
  }

  async outputs(): Promise<PlatformOutputs> {
    const options = { cwd: checkout, env: this.#env, extendEnv: false };
    const { stdout } = await execa("pulumi", ["stack", "output", "--json"], options);
    return parseOutputs(JSON.parse(stdout));
  }

  /** Checks every hop. */
  verify(): Promise<Outcome> {
    return this.#run(process.execPath, ["tools/verify/cli.ts", "--json"], wrongIn);
  }

  /** A command as a person runs it, however it ends. */
  async run(program: string, args: readonly string[]): Promise<Finished> {
    const { exitCode, stdout, all } = await execa(program, args, {
      ...{ cwd: checkout, env: this.#env, extendEnv: false, reject: false, all: true, cancelSignal: this.#signal },
    });
    this.#signal.throwIfAborted();
    return { code: exitCode ?? -1, stdout, output: all };
  }

  /** How often the kubelet updates changed Secrets in pods, in seconds. */
  async kubeletSync(): Promise<number> {
    const { syncFrequency } = parse(await readFile(join(this.lab, "config/kubelet.yaml"), "utf8")) as {
      syncFrequency: string;
    };
    return parseFloat(syncFrequency);
  }

  /** Stops the lab and leaves nothing of it. */
  stop(): Promise<void> {
    return end(this.#folder);
  }

  async #run(program: string, args: readonly string[], wrong: (stdout: string) => string = () => ""): Promise<Outcome> {
    const start = performance.now();
    const { code, stdout, output } = await this.run(program, args);
    const seconds = (performance.now() - start) / 1000;
    if (code === 0) return { seconds };
    const said = code === 1 && stdout.startsWith("{") ? wrong(stdout) : errorsOf(output);
    return { seconds, problem: `exited with ${code}: ${said}` };
  }
}

async function end(folder: string): Promise<void> {
  await execa(process.execPath, [lab, "down"], { env: settingsOf(folder), extendEnv: false });
  await removeFolder(folder);
}

/** What verify's JSON says is wrong, in one line; empty if nothing is. */
export function wrongIn(stdout: string): string {
  const wrong = (JSON.parse(stdout) as Report).checks.filter(({ ok }) => !ok);
  return wrong.map((check) => `${check.hop}, ${check.case}: ${check.observed}`).join("; ");
}

/** What a command's output says about its failure, in one line. */
export function errorsOf(output: string): string {
  const lines = (text: string) =>
    text
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
  // There pulumi repeats what it said earlier among much else.
  const [, diagnostics] = output.split("\nDiagnostics:\n");
  return (diagnostics === undefined ? lines(output).slice(-4) : lines(diagnostics).slice(0, 8)).join(" | ");
}
