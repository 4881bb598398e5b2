// Checks the lab's Go code with gofmt and go vet, and what it links against the Go vulnerability database: the pinned one, or the
// newest with VULNDB=latest.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";

import { build, goEnv, programs } from "../binaries.ts";

const lab = join(import.meta.dirname, "..");
const { folder: pins } = programs.govulncheck;

/** Advisories on packages that the lab's programs link, and why they are acceptable. */
const accepted: Readonly<Record<string, string>> = {
  ...because("no pod of the lab has a gitRepo volume", "GO-2025-3521"),
  ...because("it lets NetworkPolicies be bypassed, which the lab does not enforce", "GO-2025-3547"),
  ...because(
    "of containerd's module, Helm links parts of the client, not the CRI plugin",
    ...["GO-2026-5064", "GO-2026-5338", "GO-2026-5622", "GO-2026-6791"],
  ),
  ...because("openpgp verifies signatures of charts; the lab's chart comes from a Go module", "GO-2026-5932"),
  ...because("a log line of a trace exporter; the lab exports no traces", "GO-2026-6505"),
  ...because("kube-apiserver rewrites HTML that it proxies; the lab proxies none", "GO-2026-6860", "GO-2026-6866"),
  ...because(
    "HTTP/2 of the lab's kube-apiserver and etcd, which only this machine can reach",
    ...["GO-2026-6603", "GO-2026-6610", "GO-2026-6611", "GO-2026-6612", "GO-2026-6617"],
  ),
};

function because(reason: string, ...ids: string[]): Record<string, string> {
  return Object.fromEntries(ids.map((id) => [id, reason]));
}

/** A step in a finding's trace; the first is the vulnerable package, or its module if nothing of it is linked. */
interface Frame {
  readonly module: string;
  readonly version: string;
  readonly package?: string;
}

interface Finding {
  readonly osv: string;
  readonly fixed_version?: string;
  readonly trace: readonly [Frame, ...Frame[]];
}

describe("the lab's Go code", function () {
  this.timeout(30 * 60_000); // if nothing is compiled yet; otherwise seconds
  before(async function () {
    if (spawnSync("go", ["version"]).status !== 0) this.skip();
    await mkdir(goEnv.GOTMPDIR, { recursive: true });
  });

  const go = (cwd: string, program: string, ...args: string[]) =>
    execa(program, args, { cwd, env: goEnv, reject: false, timeout: 15 * 60_000 });

  it("is formatted by gofmt", async () => {
    const { stdout, stderr } = await go(lab, "gofmt", "-l", ".");
    assert.deepEqual([stdout, stderr], ["", ""], "run gofmt -w on these files");
  });

  it("gets no warning from go vet", async () => {
    // With the lab's build flags, so that nothing is compiled twice.
    const { exitCode, stderr } = await go(lab, "go", "vet", "-trimpath", "./...");
    assert.equal(exitCode, 0, stderr);
  });

  it("links no package with a known vulnerability, except those accepted here", async function () {
    const { path: govulncheck } = await build("govulncheck", () => undefined);
    const version = process.env.VULNDB ? `@${process.env.VULNDB}` : "";
    const database = await go(pins, "go", "mod", "download", "-json", `golang.org/x/vulndb${version}`);
    if (database.exitCode !== 0) {
      console.log(`      not checked, the database cannot be reached: ${database.stdout}${database.stderr}`);
      return this.skip();
    }
    const { Dir: module } = JSON.parse(database.stdout) as { Dir: string };
    const scan = async (folder: string, ...packages: string[]) => {
      const from = ["-db", `file://${module}/data/osv`, "-format", "json", "-scan", "package"];
      const { exitCode, stdout, stderr } = await go(join(lab, folder), govulncheck, ...from, ...packages);
      assert.equal(exitCode, 0, stderr);
      const said = stdout.split(/(?<=^\})\n/m).map((text) => JSON.parse(text) as { finding?: Finding });
      return said.flatMap(({ finding }) => (finding?.trace[0].package === undefined ? [] : [finding]));
    };
    const found = [
      ...(await scan(".", "./...", programs.helm.package)),
      ...(await scan("pulumi", programs.pulumi.package)),
      ...(await scan("acme", programs.pebble.package)),
      ...(await scan("approver", programs.approver.package)),
    ];
    const ofGo = found.filter(({ trace }) => trace[0].module === "stdlib");
    if (ofGo.length > 0)
      console.log(
        `      Go's standard library has ${new Set(ofGo.map(({ osv }) => osv)).size}: update Go on this machine`,
      );
    const ofModules = found.filter((finding) => !ofGo.includes(finding));
    const news = ofModules.filter(({ osv }) => !(osv in accepted));
    assert.deepEqual(
      news.map(
        ({ osv, fixed_version, trace: [at] }) => `${osv} ${at.package} ${at.version}, fixed in ${fixed_version}`,
      ),
      [],
      "update the module in go.mod, or accept the advisory above and say why",
    );
    const stale = Object.keys(accepted).filter((id) => ofModules.every(({ osv }) => osv !== id));
    assert.deepEqual(stale, [], "these are accepted but no longer found: remove them");
  });
});
