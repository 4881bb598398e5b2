/** sslyze, from PyPI in its own virtual environment in the cache: compares what a TLS listener offers with Mozilla's profiles. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { cached, keyOf } from "./cache.ts";

/** What is never compiled here, whatever pip finds. */
const compiled = ["cffi", "cryptography", "nassl", "pydantic_core"];
const requirements = join(import.meta.dirname, "sslyze.txt");

/** What a scan needs. */
export interface Listener {
  readonly port: number;
  readonly serverName: string;
  /** PEM files: the roots of the listener's certificate, and what to present to it. */
  readonly roots: string;
  readonly cert: string;
  readonly key: string;
}

/** What Mozilla's intermediate profile objects to, in sslyze's own names and words. */
export type Objections = Readonly<Record<string, string>>;

/** Why it is not available here; undefined if it is. */
export async function withoutSslyze(): Promise<string | undefined> {
  try {
    await execa("python3", ["-c", "import ensurepip, venv"]);
    return undefined;
  } catch {
    return "sslyze needs python3 with venv";
  }
}

/** The interpreter that has sslyze, installed on first use. */
export async function sslyze(): Promise<string> {
  const { stdout: version } = await execa("python3", ["--version"]);
  const key = keyOf(await readFile(requirements, "utf8"), version);
  const { path } = await cached("python", "sslyze", key, async (half) => {
    await execa("python3", ["-m", "venv", half]);
    const install = ["install", "--quiet", "--disable-pip-version-check", "--only-binary", compiled.join(",")];
    await execa(join(half, "bin/python"), ["-m", "pip", ...install, "--requirement", requirements]);
  });
  // Not the sslyze script, whose first line names the folder that it was installed in.
  return join(path, "bin/python");
}

/** Scans one loopback listener. Throws sslyze's output if the scan was incomplete. */
export async function scan(python: string, { port, serverName, roots, cert, key }: Listener): Promise<Objections> {
  const args = ["--mozilla_config", "intermediate", "--certinfo_ca_file", roots, "--cert", cert, "--key", key];
  const command = ["-m", "sslyze", ...args, "--sni", serverName, `127.0.0.1:${port}`];
  // It exits with 1 on any objection.
  const { stdout } = await execa(python, command, { reject: false });
  const verdict = /: (OK - Compliant|FAILED - Not compliant)\.\n((?: +\* .*\n)*)/.exec(stdout);
  if (verdict === null) throw new Error(`sslyze could not scan ${serverName}:\n${stdout}`);
  return Object.fromEntries(
    [...(verdict[2] ?? "").matchAll(/\* (\w+): (.*)/g)].map(([, name = "", words = ""]) => [name, words]),
  );
}
