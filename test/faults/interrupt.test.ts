// Ctrl-C, twice, while the real engine waits for a slow create: it ends at once, and the next `pulumi up` converges.

import { deepStrictEqual as same, match, ok, strictEqual as equal } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { ownershipOf } from "../../apisix-admin/ownership.ts";
import { adminClient, closeSessions } from "../../apisix-admin/session.ts";
import type { AdminEndpoint } from "../../vocabulary/endpoints.ts";
import { clusterUid, MemoryCluster, startApisix, type Started } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";
import { FaultyProxy } from "../support/faultyProxy.ts";
import { KubernetesApi } from "../support/kubernetesApi.ts";
import { programPath } from "../support/programs.ts";

const checkout = resolve(import.meta.dirname, "../..");

describe("Ctrl-C during a slow create", function () {
  this.timeout(120_000);
  const memory = new MemoryCluster();
  let folder: string;
  let apisix: Started<AdminEndpoint>;
  let proxy: FaultyProxy;
  let api: KubernetesApi;
  const running: ChildProcess[] = [];

  before(async function () {
    const [cli, plugins] = [programPath("pulumi"), programPath("plugins")];
    if (cli === undefined || plugins === undefined) return this.skip();
    const admin = await Authority.create("admin");
    apisix = await startApisix(memory, admin, () => this.skip());
    proxy = await FaultyProxy.start({
      ...{ port: apisix.endpoint.port, serverName: apisix.endpoint.serverName, root: admin.root },
      server: await admin.leaf({ dnsNames: [apisix.endpoint.serverName], usages: ["server auth"] }),
      client: await admin.leaf({ subject: "CN=proxy", usages: ["client auth"] }),
    });
    api = await KubernetesApi.start(clusterUid);
    api.pod(proxy.port);
    for (const [name, entries] of memory.secrets) api.secret("mtls", name.slice("mtls/".length), entries);
    for (const [name, entries] of memory.configMaps) api.configMap("mtls", name.slice("mtls/".length), entries);

    folder = mkdtempSync(join(tmpdir(), "interrupt-"));
    mkdirSync(join(folder, "bin"));
    mkdirSync(join(folder, "state"));
    symlinkSync(cli, join(folder, "bin/pulumi"));
    symlinkSync(plugins, join(folder, "bin/pulumi-language-nodejs"));
    const launcher = "pulumi-resource-pulumi-nodejs";
    symlinkSync(join(checkout, "node_modules/@pulumi/pulumi", launcher), join(folder, "bin", launcher));
    symlinkSync(join(checkout, "node_modules"), join(folder, "node_modules"));
    const files = {
      kubeconfig: api.kubeconfig,
      "package.json": JSON.stringify({ type: "module" }),
      "Pulumi.yaml": JSON.stringify({
        ...{ name: "interrupted", main: "index.ts" },
        runtime: { name: "nodejs", options: { typescript: false } },
      }),
      "index.ts": `
import { ApisixUpstream } from ${JSON.stringify(join(checkout, "components/gateway/apisixUpstream.ts"))};
const admin = ${JSON.stringify(apisix.endpoint)};
new ApisixUpstream("hello", { admin, nodes: [{ host: "127.0.0.1", port: 8443 }], serverName: "hello.example" });
`,
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  });

  after(async () => {
    for (const child of running) child.kill("SIGKILL");
    await closeSessions(memory).catch(() => {});
    await proxy?.stop();
    await api?.stop();
    await apisix?.stop();
    if (folder && existsSync(folder)) rmSync(folder, { recursive: true });
  });

  function pulumi(...args: string[]): { child: ChildProcess; ended: Promise<{ code: number | null; output: string }> } {
    const child = spawn(join(folder, "bin/pulumi"), [...args, "--non-interactive", "--color=never"], {
      cwd: folder,
      env: {
        PATH: `${join(folder, "bin")}:${dirname(process.execPath)}:/usr/bin:/bin`,
        HOME: folder,
        KUBECONFIG: join(folder, "kubeconfig"),
        PULUMI_HOME: join(folder, "home"),
        PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
        PULUMI_CONFIG_PASSPHRASE: "of a test",
        PULUMI_SKIP_UPDATE_CHECK: "true",
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.push(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
    const ended = new Promise<{ code: number | null; output: string }>((done) =>
      child.on("close", (code) => done({ code, output })),
    );
    return { child, ended };
  }

  it("ends at once when repeated, and the next up recognises its own object", async () => {
    equal((await pulumi("stack", "init", "dev").ended).code, 0);
    proxy.inject({ on: /^PUT/, delay: 600_000, times: Infinity });
    const interrupted = pulumi("up", "--yes", "--skip-preview");
    while (!proxy.requests.some((request) => request.startsWith("PUT"))) {
      ok(interrupted.child.exitCode === null, "pulumi ended before it created anything");
      await sleep(100);
    }
    // The SDK's plugin ignores the engine's cancellation, so a first Ctrl-C waits for the provider's own deadline of 60 s;
    // a second one does not.
    interrupted.child.kill("SIGINT");
    await sleep(500);
    const start = Date.now();
    interrupted.child.kill("SIGINT");
    const { code, output } = await interrupted.ended;
    ok(Date.now() - start < 30_000, `${Date.now() - start} ms`);
    ok(code !== 0, output);
    match(output, /error: update cancelled/);

    proxy.heal();
    const next = await pulumi("up", "--yes", "--skip-preview").ended;
    equal(next.code, 0, next.output);
    match(next.output, /ApisixUpstream::hello, interrupted while creating/);
    const live = await (await adminClient(memory, apisix.endpoint)).list("upstreams");
    same(
      live.map((object) => [object["id"], ownershipOf(object).owner]),
      [["hello", "interrupted/dev/hello"]],
    );
    const preview = await pulumi("preview", "--expect-no-changes").ended;
    equal(preview.code, 0, preview.output);
  });
});
