// Saves a release's dev stack state for later upgrade tests, re-encrypted under a throw-away passphrase, without keys and paths.

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { parse } from "yaml";

import packageJson from "../../package.json" with { type: "json" };
import { findPrivateKeys } from "../../policy/keySearch.ts";
import { homeOf } from "../../tools/recover/forget.ts";
import type { State } from "../../tools/recover/state.ts";

const usage = `Usage: node test/upgrade/record.ts

Run it in the environment of a lab whose dev stack is up (eval "$(make -s env)"), on a clean tree. Writes
test/upgrade/v<version>/state.json.gz, which \`gunzip -c | pulumi stack import\` takes, and about.json, which says where it came
from.
The passphrase of its secrets is "throw-away": they belong to a cluster that is gone.
`;

/** Known on purpose: it encrypts what belonged to a cluster that no longer exists. */
export const passphrase = "throw-away";

const root = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

if (process.argv.includes("--help")) process.stdout.write(usage);
else await record();

async function record(): Promise<void> {
  const command = async (program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) =>
    (await run(program, [...args], { cwd: root, env, maxBuffer: 256 * 2 ** 20 })).stdout;
  if ((await command("git", ["status", "--porcelain"])) !== "") {
    throw new Error("The tree has uncommitted changes: commit them first, so that the recording can name its commit.");
  }
  const commit = (await command("git", ["rev-parse", "HEAD"])).trim();
  const plain = withoutPaths(await command("pulumi", ["stack", "export", "--show-secrets", "--stack", "dev"]));
  const keys = findPrivateKeys(JSON.parse(plain));
  if (keys.length > 0) {
    const places = keys.map(({ urn, path }) => `${urn} ${path}`);
    throw new Error(`The state contains private keys, which a recording must not:\n${places.join("\n")}`);
  }

  const folder = await mkdtemp(join(tmpdir(), "mtls-record-"));
  try {
    const env = {
      ...process.env,
      PULUMI_BACKEND_URL: `file://${folder}`,
      PULUMI_CONFIG_PASSPHRASE: passphrase,
      PULUMI_CONFIG_PASSPHRASE_FILE: "",
      PULUMI_OPTION_CONFIG_FILE: "",
      PULUMI_STACK: "",
    };
    const project = ["--cwd", folder, "--stack", "dev"];
    await writeFile(join(folder, "Pulumi.yaml"), "name: mtls-everywhere\nruntime: nodejs\n");
    await command("pulumi", ["stack", "init", ...project], env);
    // The import encrypts with the provider named in the state: make that the new stack's, not the lab's.
    const { encryptionsalt: salt } = parse(await readFile(join(folder, "Pulumi.dev.yaml"), "utf8")) as {
      readonly encryptionsalt: string;
    };
    const { deployment, ...envelope } = JSON.parse(plain) as { deployment: object };
    const provider = { type: "passphrase", state: { salt } };
    const imported = { ...envelope, deployment: { ...deployment, secrets_providers: provider } };
    await writeFile(join(folder, "plain.json"), JSON.stringify(imported), { mode: 0o600 });
    await command("pulumi", ["stack", "import", ...project, "--file", join(folder, "plain.json")], env);
    const encrypted = await command("pulumi", ["stack", "export", ...project], env);
    const target = join(import.meta.dirname, `v${packageJson.version}`);
    await mkdir(target, { recursive: true });
    await writeFile(join(target, "state.json.gz"), gzipSync(encrypted));
    const cluster = homeOf(JSON.parse(plain) as State);
    const about = { version: packageJson.version, commit, stack: "dev", cluster, passphrase };
    await writeFile(join(target, "about.json"), `${JSON.stringify(about, undefined, 2)}\n`);
    process.stdout.write(`${join(target, "state.json.gz")}\n`);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The paths of checkout, cached chart and lab differ on every machine. */
function withoutPaths(state: string): string {
  const { HOME = "/nowhere", KUBECONFIG = "/nowhere" } = process.env;
  return state
    .replaceAll(KUBECONFIG, "/lab/kubeconfig")
    .replaceAll(root, "/checkout")
    .replaceAll(/"[^"\\]*\/charts\//g, '"/charts/')
    .replaceAll(/\\"[^"\\]*\/charts\//g, '\\"/charts/')
    .replaceAll(HOME, "/home");
}
