// The file that goes into the pods: up to date with its source, and run as a process between real servers.

import { deepStrictEqual as same, equal, match, ok } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { labels } from "../../apisix-admin/body.ts";
import { adminClient, closeSessions } from "../../apisix-admin/session.ts";
import { type KeyPair } from "../../cluster-access/certificates.ts";
import { freePort } from "../../lab/ports.ts";
import { bundle, bundleFile } from "../../renewer/bundle.ts";
import { fingerprintOf } from "../../renewer/decide.ts";
import { shownFor } from "../../renewer/served.ts";
import type { Settings } from "../../renewer/settings.ts";
import type { AdminEndpoint } from "../../vocabulary/endpoints.ts";
import { adminKey, MemoryCluster, startApisix } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";
import { SecretsApi } from "./secretsApi.ts";
import { until } from "./until.ts";

describe("the renewer's bundle", () => {
  it("is what its source builds to: run `npm run bundle`", async () => {
    equal(readFileSync(bundleFile, "utf8"), await bundle());
  });

  it("fits into a ConfigMap, and contains no Kubernetes library", () => {
    const text = readFileSync(bundleFile, "utf8");
    ok(text.length < 100_000, `${text.length} bytes`);
    const modules = [...text.matchAll(/require\("([^"]+)"\)/g)].map(([, name = ""]) => name);
    ok(modules.length > 0 && modules.every((name) => name.startsWith("node:")), modules.join(", "));
  });
});

describe("the renewer as a process", function () {
  this.timeout(60_000);
  const cluster = new MemoryCluster();
  const folder = mkdtempSync(join(tmpdir(), "renewer-"));
  let apisix: Awaited<ReturnType<typeof startApisix>>;
  let api: SecretsApi;
  let edge: Authority;
  let first: KeyPair;
  let settings: Settings;
  const children: ChildProcess[] = [];

  const leaf = () => edge.leaf({ dnsNames: ["site.example"], usages: ["server auth"] });
  const run = () => {
    const child = spawn(process.execPath, [bundleFile, join(folder, "settings.json")], {
      env: {
        ...{ ADMIN_KEY: adminKey, SEALED_BY: "1-0123abcd" },
        ...{ KUBERNETES_SERVICE_HOST: "localhost", KUBERNETES_SERVICE_PORT: String(api.port) },
      },
    });
    children.push(child);
    const output = { text: "" };
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output.text += String(chunk)));
    return { child, output };
  };
  const ended = (child: ChildProcess) =>
    new Promise<unknown[]>((resolve) => child.once("exit", (...how) => resolve(how)));
  const shows = (pair: KeyPair) =>
    until("the gateway shows it", async () => {
      const shown = await shownFor(apisix.gatewayPort, "site.example").catch(() => undefined);
      return shown?.fingerprint === fingerprintOf(pair.cert);
    });

  before(async function () {
    const authority = await Authority.create("admin");
    apisix = await startApisix(cluster, authority, () => this.skip());
    api = await SecretsApi.start();
    api.granted.add("mtls/gateway");
    edge = await Authority.create("edge");
    first = await leaf();
    api.pair("mtls/gateway", first);
    const own = await authority.leaf({ subject: "CN=renewer" });
    for (const [name, text] of Object.entries({ "ca.crt": authority.root, "tls.crt": own.cert, "tls.key": own.key }))
      writeFileSync(join(folder, name), text);
    settings = {
      admin: {
        port: apisix.endpoint.port,
        serverName: apisix.endpoint.serverName,
        trust: join(folder, "ca.crt"),
        leaf: folder,
      },
      account: api.account,
      roots: { admin: join(folder, "ca.crt") },
      gatewayPort: apisix.gatewayPort,
      metricsPort: await freePort(),
    };
    writeFileSync(join(folder, "settings.json"), JSON.stringify(settings));
    const client = await adminClient(cluster, apisix.endpoint satisfies AdminEndpoint);
    await client.put("ssls", "site", { labels: { [labels.secret]: "mtls/gateway" }, ...first, snis: ["site.example"] });
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });
  after(async () => {
    await closeSessions(cluster);
    await api?.stop();
    await apisix?.stop();
    rmSync(folder, { recursive: true });
  });

  it("starts before anything answers, renews, serves its metrics, and exits at once when told to", async () => {
    await Promise.all([api.down(), apisix.kill()]);
    const { child, output } = run();
    await until("it waits", () => /The Admin API does not answer/.test(output.text));
    await Promise.all([api.up(), apisix.start()]);
    await until("it watches", () => api.watching === 1);
    const renewed = await leaf();
    api.pair("mtls/gateway", renewed);
    await shows(renewed);
    await until("it says so", () => /ssls\/site renewed from Secret mtls\/gateway/.test(output.text));
    const answer = await fetch(`http://127.0.0.1:${settings.metricsPort}/metrics`);
    match(answer.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
    match(await answer.text(), /^mtls_renewer_renewals_total\{object="site",.*\} 1$/m);
    equal((await fetch(`http://127.0.0.1:${settings.metricsPort}/`)).status, 404);
    const end = ended(child);
    child.kill("SIGTERM");
    same(await end, [0, null]);
    for (const secret of [adminKey, renewed.key, api.token, "PRIVATE KEY"]) ok(!output.text.includes(secret));
  });

  it("may be killed at any moment: the next one picks up from there", async () => {
    for (const moment of [0, 10, 30, 100]) {
      const { child } = run();
      await until("it watches", () => api.watching === 1);
      const renewed = await leaf();
      api.pair("mtls/gateway", renewed);
      await new Promise((resolve) => setTimeout(resolve, moment));
      const end = ended(child);
      child.kill("SIGKILL");
      await end;
      await until("its watch is closed", () => api.watching === 0);
      const { child: next } = run();
      await shows(renewed);
      next.kill("SIGKILL");
      await until("its watch is closed", () => api.watching === 0);
    }
  });

  it("says what is missing when run outside a pod", async () => {
    const child = spawn(process.execPath, [bundleFile, join(folder, "settings.json")], { env: {} });
    children.push(child);
    let text = "";
    child.stderr.on("data", (chunk) => (text += String(chunk)));
    equal((await ended(child))[0], 1);
    match(text, /The environment variable ADMIN_KEY is not set: the renewer runs in a pod of APISIX\./);
  });
});
