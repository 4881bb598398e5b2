/** The Go programs of the lab: Kubernetes, cert-manager, approver-policy, CoreDNS, etcd, the Pulumi CLI and the stand-ins, built from pinned modules. */
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, realpath, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { cached, contentsOf, keyOf, type Part } from "./cache.ts";
import { inCache } from "./paths.ts";

export const versions = {
  kubernetes: "v1.36.3",
  certManager: "v1.21.2",
  approverPolicy: "v0.28.0",
  etcd: "v3.6.15",
  pulumi: "3.274.1",
};

const module = import.meta.dirname;
const approverPolicy = "github.com/cert-manager/approver-policy";
const component = "k8s.io/component-base/version";
const labFlags = [
  "-s -w",
  `-X ${component}.gitVersion=${versions.kubernetes}`,
  `-X ${component}.gitMajor=1`,
  `-X ${component}.gitMinor=36`,
  `-X github.com/cert-manager/cert-manager/pkg/util.AppVersion=${versions.certManager}`,
].join(" ");
const pulumiFlags = `-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=${versions.pulumi}`;

interface Program {
  /** What people call it. */
  title: string;
  folder: string;
  package: string;
  /** Sources outside the Go module cache. */
  sources: string[];
  ldflags: string;
}

const ours = (path: string, title: string, ...shared: string[]): Program => ({
  title,
  folder: module,
  package: `./${path}`,
  sources: [path, ...shared],
  ldflags: labFlags,
});

export const programs = {
  pause: ours("cluster/pause", "the pause process"),
  kube: ours("cluster/kube", `Kubernetes ${versions.kubernetes}`),
  certmanager: ours("cluster/certmanager", `cert-manager ${versions.certManager}`),
  approver: {
    title: `approver-policy ${versions.approverPolicy}`,
    folder: join(module, "approver"),
    package: `${approverPolicy}/cmd`,
    sources: ["tools.go"],
    ldflags: "-s -w",
  },
  coredns: ours("cluster/coredns", "CoreDNS"),
  etcd: ours("cluster/etcd", `etcd ${versions.etcd}`),
  apisix: ours("standins/apisix", "the APISIX stand-in", "standins/clock"),
  plugins: ours("standins/plugins", "the Pulumi plugins' stand-ins", "standins/clock"),
  /** For the baseline of lab/bench/; the lab itself has no use for it. */
  helm: {
    title: "the Helm CLI",
    folder: module,
    package: "helm.sh/helm/v3/cmd/helm",
    sources: ["tools.go"],
    ldflags: "-s -w",
  },
  pulumi: {
    title: `the Pulumi CLI ${versions.pulumi}`,
    folder: join(module, "pulumi"),
    package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    sources: ["tools.go"],
    ldflags: pulumiFlags,
  },
  /** For LAB_ACME=1. */
  pebble: {
    title: "Pebble, an ACME server",
    folder: join(module, "acme"),
    package: "github.com/letsencrypt/pebble/v2/cmd/pebble",
    sources: ["tools.go"],
    ldflags: "-s -w",
  },
  /** For a test; the same module pins its database. */
  govulncheck: {
    title: "govulncheck",
    folder: join(module, "vulnerabilities"),
    package: "golang.org/x/vuln/cmd/govulncheck",
    sources: ["tools.go"],
    ldflags: "-s -w",
  },
} satisfies Record<string, Program>;

export type ProgramName = keyof typeof programs;

const settings = process.env.XDG_CONFIG_HOME || join(homedir(), ".config");

/** Puts Go's caches and counters into ours, so that nothing is left elsewhere; the user's `go env -w` settings still apply. */
export const goEnv = {
  GOENV: process.env.GOENV || join(settings, "go/env"),
  XDG_CONFIG_HOME: inCache("go-config"),
  GOTMPDIR: inCache("go-tmp"),
  GOMODCACHE: inCache("go-mod"),
  GOCACHE: inCache("go-build"),
  GOFLAGS: "-modcacherw -buildvcs=false",
  CGO_ENABLED: "0",
};

/** The finished program, from the cache if its module, sources, flags and compiler are unchanged. */
export async function build(name: ProgramName, progress: (line: string) => void): Promise<Part> {
  const { folder, package: path, sources, ldflags }: Program = programs[name];
  const inputs = await contentsOf(["go.mod", "go.sum", ...sources].map((file) => resolve(folder, file)));
  const key = keyOf(ldflags, goEnv.GOFLAGS, process.arch, await goVersion(), ...inputs);
  return cached("bin", name, key, async (output) => {
    await mkdir(goEnv.GOTMPDIR, { recursive: true });
    const go = execa("go", ["build", "-v", "-trimpath", "-ldflags", ldflags, "-o", output, path], {
      cwd: folder,
      env: goEnv,
    });
    let [compiled, fetched] = [0, 0];
    for await (const line of go.iterable({ from: "stderr" })) {
      if (line.startsWith("go: downloading")) progress(`${++fetched} modules downloaded`);
      else progress(`${++compiled} packages compiled (${line})`);
    }
    await go;
  });
}

/** The output of `go version`, read from the toolchain's folder if possible, so that a warm run need not start Go. */
export async function goVersion(): Promise<string> {
  const go = (process.env.PATH ?? "").split(":").find((folder) => existsSync(join(folder, "go")));
  const file = go === undefined ? "" : resolve(await realpath(join(go, "go")), "../../VERSION");
  const text = existsSync(file) ? await readFile(file, "utf8") : (await execa("go", ["env", "GOVERSION"])).stdout;
  return text.split("\n")[0]?.trim() ?? "";
}

/** cert-manager's chart. */
export function chart(): Promise<Part> {
  return chartOf("github.com/cert-manager/cert-manager", "cert-manager", versions.certManager, module);
}

/** approver-policy's chart. */
export function approverChart(): Promise<Part> {
  return chartOf(approverPolicy, "approver-policy", versions.approverPolicy, programs.approver.folder);
}

/** A chart from the Go module of its program, where it has no version; pinned in the module in `from`. */
function chartOf(name: string, chart: string, version: string, from: string): Promise<Part> {
  return cached("charts", chart, version, async (path) => {
    const { stdout } = await execa("go", ["mod", "download", "-json", `${name}@${version}`], { cwd: from, env: goEnv });
    const { Dir: folder } = JSON.parse(stdout) as { Dir: string };
    await cp(join(folder, "deploy/charts", chart), path, { recursive: true });
    for (const file of ["Chart.yaml", "values.yaml"].map((file) => join(path, file)))
      await writeFile(file, (await readFile(file, "utf8")).replaceAll("v0.0.0", version));
  });
}
