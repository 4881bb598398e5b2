// A stack that connects to a cluster and has a protected root, run by the real CLI on API servers that only say who they are.

import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

import { programPath } from "../support/programs.ts";

const checkout = resolve(import.meta.dirname, "../..");

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExportedResource {
  readonly urn: string;
  readonly type: string;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly outputs?: Readonly<Record<string, unknown>>;
  readonly dependencies?: readonly string[];
}

export class ClusterStack {
  readonly folder = mkdtempSync(join(tmpdir(), "cluster-stack-"));
  /** Where KUBECONFIG points. */
  kubeconfig = join(this.folder, "kubeconfig");

  /** Undefined if the lab has not built its programs. */
  static async create(): Promise<ClusterStack | undefined> {
    const [cli, plugins] = [programPath("pulumi"), programPath("plugins")];
    if (cli === undefined || plugins === undefined) return undefined;
    const stack = new ClusterStack();
    const link = (target: string, ...path: string[]) => {
      const place = join(stack.folder, ...path);
      mkdirSync(dirname(place), { recursive: true });
      symlinkSync(target, place);
    };
    link(cli, "bin/pulumi");
    link(plugins, "bin/pulumi-language-nodejs");
    for (const name of ["kubernetes", "tls"]) {
      const { version } = JSON.parse(
        readFileSync(join(checkout, "node_modules/@pulumi", name, "package.json"), "utf8"),
      ) as { version: string };
      link(plugins, `home/plugins/resource-${name}-v${version}`, `pulumi-resource-${name}`);
    }
    link(join(checkout, "node_modules"), "program/node_modules");
    mkdirSync(join(stack.folder, "state"));
    const files = {
      "package.json": JSON.stringify({ type: "module" }),
      "Pulumi.yaml": JSON.stringify({
        ...{ name: "mtls-everywhere", main: "index.ts" },
        runtime: { name: "nodejs", options: { typescript: false } },
      }),
      "index.ts": `
import * as tls from "@pulumi/tls";
import { connectCluster } from ${JSON.stringify(join(checkout, "components/cluster.ts"))};
await connectCluster("cluster");
new tls.PrivateKey("root", { algorithm: "ECDSA", ecdsaCurve: "P256" }, { protect: true });
`,
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(stack.folder, "program", name), text);
    await stack.must("stack", "init", "dev");
    // tools/recover/cli.ts's project requires it.
    await stack.must("config", "set", "trustDomain", "dev.internal");
    return stack;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  pulumi(...args: string[]): Promise<Finished> {
    return this.#run(join(this.folder, "bin/pulumi"), [...args, "--non-interactive"]);
  }

  async must(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.pulumi(...args);
    if (code !== 0) throw new Error(`pulumi ${args.join(" ")} exited with ${code}:\n${stdout}${stderr}`);
    return stdout;
  }

  up(): Promise<Finished> {
    return this.pulumi("up", "--yes", "--skip-preview");
  }

  /** Runs one of the checkout's command lines in this stack's environment. */
  node(program: string, ...args: string[]): Promise<Finished> {
    return this.#run(process.execPath, [join(checkout, program), ...args]);
  }

  async resources(): Promise<readonly ExportedResource[]> {
    const { deployment } = JSON.parse(await this.must("stack", "export")) as {
      deployment: { resources?: readonly ExportedResource[] };
    };
    return deployment.resources ?? [];
  }

  /** The resource of this name in the state. */
  async resource(name: string): Promise<ExportedResource> {
    const found = (await this.resources()).find(({ urn }) => urn.endsWith(`::${name}`));
    if (!found) throw new Error(`The state has no ${name}.`);
    return found;
  }

  #run(program: string, args: readonly string[]): Promise<Finished> {
    const env = {
      PATH: `${join(this.folder, "bin")}:${dirname(process.execPath)}:/usr/bin:/bin`,
      HOME: this.folder,
      NO_COLOR: "1",
      KUBECONFIG: this.kubeconfig,
      PULUMI_HOME: join(this.folder, "home"),
      PULUMI_BACKEND_URL: `file://${join(this.folder, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "of a test",
      PULUMI_OPTION_CONFIG_FILE: join(this.folder, "program/Pulumi.dev.yaml"),
      PULUMI_SKIP_UPDATE_CHECK: "true",
      PULUMI_STACK: "dev",
    };
    return new Promise((done) => {
      execFile(program, args, { cwd: join(this.folder, "program"), env, timeout: 60_000 }, (error, stdout, stderr) =>
        done({ code: Number(error?.code ?? (error ? -1 : 0)), stdout, stderr }),
      );
    });
  }
}

/** A kubeconfig with other kubeconfigs' contexts, renamed; the first is the current one. */
export function contexts(named: Readonly<Record<string, string>>): string {
  const parts = Object.entries(named).map(([name, text]) => {
    const { clusters, users } = JSON.parse(text) as { clusters: { cluster: object }[]; users: { user: object }[] };
    return {
      clusters: { name, cluster: clusters[0]!.cluster },
      users: { name, user: users[0]!.user },
      contexts: { name, context: { cluster: name, user: name } },
    };
  });
  return JSON.stringify({
    ...{ apiVersion: "v1", kind: "Config", "current-context": Object.keys(named)[0] },
    clusters: parts.map(({ clusters }) => clusters),
    users: parts.map(({ users }) => users),
    contexts: parts.map(({ contexts }) => contexts),
  });
}
