// What a consumer in its own repository gets: the packed checkout, installed without hoisting, type-checked, and run.

import { deepStrictEqual as same, equal, match, ok } from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { checkout } from "./mocha.ts";
import type { Given, Outcome } from "./package/mocked.ts";
import { clusterUid } from "./support/apisix.ts";
import { Authority } from "./support/authorities.ts";
import { KubernetesApi } from "./support/kubernetesApi.ts";
import { byPlane, outputs } from "./support/outputs.ts";

describe("a consumer in a repository of its own (case 11)", function () {
  this.timeout(300_000);

  const folder = mkdtempSync(join(tmpdir(), "consumer-"));
  const file = (name: string) => join(folder, name);
  const versionOf = (name: string) =>
    (JSON.parse(readFileSync(join(checkout, "node_modules", name, "package.json"), "utf8")) as { version: string })
      .version;
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** The example's program, as in such a repository. */
  const program = readFileSync(join(checkout, "examples/consumer/index.ts"), "utf8").replaceAll(
    /"\.\.\/\.\.\/[^"]+"/g,
    '"mtls-everywhere"',
  );

  it("installs what npm pack makes of the checkout, with only public packages besides", async () => {
    const packed = (await run("npm", ["pack", "--silent", "--pack-destination", folder], checkout)).trim();
    equal(existsSync(join(checkout, "dist")), false);
    const dependencies = {
      "mtls-everywhere": `file:${packed}`,
      ...Object.fromEntries(
        ["@pulumi/kubernetes", "@pulumi/pulumi", "@types/node"].map((name) => [name, versionOf(name)]),
      ),
    };
    writeFileSync(file("package.json"), JSON.stringify({ private: true, type: "module", dependencies }));
    const quietly = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    await run("npm", ["install", "--install-strategy=nested", "--prefix", folder, ...quietly], folder);
    const installed = file("node_modules/mtls-everywhere");
    // Node.js runs no TypeScript there.
    same(
      globSync("{*,dist/**/*}.ts", { cwd: installed }).filter((name) => !name.endsWith(".d.ts")),
      [],
    );
    // It contains its own workspaces, and shares one SDK with the program.
    same(
      ["node_modules/@mtls-everywhere", "node_modules/@pulumi/pulumi", "node_modules/@pulumi/kubernetes"].filter(
        (name) => existsSync(join(installed, name)),
      ),
      [],
    );
    match(readFileSync(join(installed, "LICENSE"), "utf8"), /Apache License/);
  });

  it("has its program type-checked against the package's declarations", async () => {
    writeFileSync(file("index.ts"), program);
    const wrong = `import { ApisixRoute, type Platform } from "mtls-everywhere";
declare const platform: Platform;
const { admin } = platform;
new ApisixRoute("right", { admin, hosts: ["upstream"], uri: "/", upstream: "shop" });
// @ts-expect-error -- a route without hosts
new ApisixRoute("wrong", { admin, uri: "/", upstream: "shop" });
`;
    writeFileSync(file("wrong.ts"), wrong);
    const compilerOptions = { module: "nodenext", target: "es2024", strict: true, noEmit: true, types: [] };
    writeFileSync(file("tsconfig.json"), JSON.stringify({ compilerOptions, files: ["index.ts", "wrong.ts"] }));
    const tsc = join(checkout, "node_modules/typescript/bin/tsc");
    const said = await run(process.execPath, [tsc, "--project", folder], folder).catch((error: Error) => error.message);
    ok(said === "" || / error TS\d+:/.test(said), said);
    // Declarations of other packages are checked, too, but their errors are not ours.
    same(
      said
        .split("\n")
        .filter((line) => / error TS\d+:/.test(line) && !/^node_modules\/(?!mtls-everywhere\/dist\/)/.test(line)),
      [],
    );
  });

  it("runs, and its resources' code in the state finds the package", async () => {
    const api = await KubernetesApi.start(clusterUid);
    try {
      const { root } = await Authority.create("upstream");
      const given: Given = {
        config: { "shop:platform": "organization/mtls-everywhere/dev", "shop:image": "nginx:1.28.0" },
        platform: { ...outputs, roots: byPlane(() => root) },
      };
      writeFileSync(file("given.json"), JSON.stringify(given));
      writeFileSync(file("kubeconfig"), api.kubeconfig);
      cpSync(join(checkout, "test/package/mocked.ts"), file("mocked.ts"));
      await run(process.execPath, ["mocked.ts", "given.json", "outcome.json"], folder, {
        KUBECONFIG: file("kubeconfig"),
      });
    } finally {
      await api.stop();
    }
    const { resources, exported, failures } = JSON.parse(readFileSync(file("outcome.json"), "utf8")) as Outcome;
    same(exported, { url: "https://upstream/shop.json" });
    same(resources.map(({ type, name }) => `${type.replace(/^.*[:/]/, "")} ${name}`).sort(), [
      ...["ApisixRoute shop", "ApisixUpstream shop", "Certificate shop-server", "Certificate shop-server"],
      ...["ConfigMap shop-config", "ConfigMap shop-files", "ConfigMap shop-upstream-trust", "Deployment shop"],
      ...["Namespace namespace", "NetworkPolicy namespace-deny-all", "NetworkPolicy shop-from-apisix"],
      ...[
        "NginxUpstream shop",
        "Service shop",
        "ServiceAccount shop",
        "StackReference organization/mtls-everywhere/dev",
      ],
      ...["Stash cluster-uid", "TrustBundle shop-upstream-trust", "kubernetes cluster"],
    ]);
    same(failures, [
      {
        property: "hosts",
        reason: "Name the hosts: without them the route could be reached under another host's client policy.",
      },
    ]);
  });
});

/** What a command prints to standard output. If it fails, the error has all that it printed. */
function run(command: string, args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}) {
  return new Promise<string>((done, fail) =>
    execFile(command, args, { cwd, env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      error ? fail(new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`)) : done(stdout),
    ),
  );
}
