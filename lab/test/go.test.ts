// Holds the lab's Go code to gofmt and go vet, and what it links to the Go project's database of vulnerabilities: the one that is pinned
// beside it, or VULNDB=latest.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";

import { build, goEnv, programs } from "../binaries.ts";

const lab = join(import.meta.dirname, "..");
const { folder: pins } = programs.govulncheck;

/** Advisories of packages that the lab's programs link, and why it lives with them. */
const accepted: Readonly<Record<string, string>> = {
  ...because("no pod of the lab has a gitRepo volume", "GO-2025-3521"),
  ...because("it lets NetworkPolicies be passed by, which the lab does not enforce", "GO-2025-3547"),
  ...because(
    "of containerd's module Helm links parts of the client, not the CRI plugin",
    ...["GO-2026-5064", "GO-2026-5338", "GO-2026-5622", "GO-2026-6791"],
  ),
  ...because("openpgp verifies signatures of charts; the lab's chart comes from a Go module", "GO-2026-5932"),
  ...because("a log line of an exporter of traces; the lab exports none", "GO-2026-6505"),
  ...because("kube-apiserver rewrites HTML that it proxies; the lab has none", "GO-2026-6860", "GO-2026-6866"),
  ...because(
    "HTTP/2 of the lab's kube-apiserver and etcd, which this machine alone reaches",
    ...["GO-2026-6603", "GO-2026-6610", "GO-2026-6611", "GO-2026-6612", "GO-2026-6617"],
  ),
};

function because(reason: string, ...ids: string[]): Record<string, string> {
  return Object.fromEntries(ids.map((id) => [id, reason]));
}

/** A step of a finding's trace: the first is the vulnerable package, or its module where nothing of it is linked. */
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
  this.timeout(30 * 60_000); // on a machine that has compiled nothing yet; else it takes seconds
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

  it("has nothing that go vet warns of", async () => {
    // With the flag of the lab's builds: what they have compiled is not compiled again.
    const { exitCode, stderr } = await go(lab, "go", "vet", "-trimpath", "./...");
    assert.equal(exitCode, 0, stderr);
  });

  it("links no package with a known vulnerability, but those that are accepted here", async function () {
    const { path: govulncheck } = await build("govulncheck", () => undefined);
    const version = process.env.VULNDB ? `@${process.env.VULNDB}` : "";
    const database = await go(pins, "go", "mod", "download", "-json", `golang.org/x/vulndb${version}`);
    if (database.exitCode !== 0) {
      console.log(`      not checked, no database can be reached: ${database.stdout}${database.stderr}`);
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
    ];
    const ofGo = found.filter(({ trace }) => trace[0].module === "stdlib");
    if (ofGo.length > 0)
      console.log(
        `      Go's own library has ${new Set(ofGo.map(({ osv }) => osv)).size}: update the Go on this machine`,
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
    assert.deepEqual(stale, [], "these are accepted and not found any more: take them out");
  });
});
