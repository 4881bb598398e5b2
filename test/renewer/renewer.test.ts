// The renewer between real servers: every fault that a Secret can have, and every side failing in the middle of a renewal.

import { deepStrictEqual as same, match, ok, strictEqual as equal } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Body, labels } from "../../apisix-admin/body.ts";
import { AdminClient } from "../../apisix-admin/client.ts";
import { renewedLeaf } from "../../apisix-admin/renewal.ts";
import { digestOf, type KeyPair } from "../../cluster-access/certificates.ts";
import { metrics } from "../../components/monitoringPlan.ts";
import { endOf, fingerprintOf } from "../../renewer/decide.ts";
import { exposition } from "../../renewer/exposition.ts";
import { Journal } from "../../renewer/journal.ts";
import { KubernetesApi } from "../../renewer/kubernetesApi.ts";
import { families } from "../../renewer/metrics.ts";
import { Renewer } from "../../renewer/renewer.ts";
import { SecretWatch } from "../../renewer/secretWatch.ts";
import { ServedCertificates, shownFor } from "../../renewer/served.ts";
import { MemoryCluster, startApisix } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";
import { SecretsApi } from "./secretsApi.ts";
import { until } from "./until.ts";

const host = "site.example";

describe("the renewer", function () {
  this.timeout(120_000);
  const cluster = new MemoryCluster();
  let apisix: Awaited<ReturnType<typeof startApisix>>;
  let api: SecretsApi;
  let client: AdminClient;
  let edge: Authority;
  let first: KeyPair;
  const running: { stop: AbortController; done: Promise<void>; api: KubernetesApi; admin: AdminClient }[] = [];

  const leaf = (dnsNames: string[] = [host], lifetime = 3_600_000) =>
    edge.leaf({ dnsNames, usages: ["server auth"], lifetime });
  /** A leaf issued in a later second than any before it. */
  const later = async (dnsNames?: string[]) => {
    await new Promise((resolve) => setTimeout(resolve, 1_050));
    return leaf(dnsNames);
  };
  const body = (pair: KeyPair, trust = edge.root): Body => ({
    labels: {
      [labels.owner]: "mtls/dev/site",
      [labels.certificate]: digestOf(pair.cert),
      [labels.secret]: "mtls/gateway",
    },
    ...pair,
    snis: [host],
    client: { ca: trust, depth: 1 },
  });
  const sealedBy = "2-0123abcd";
  const admin = () =>
    new AdminClient({
      connect: async () =>
        cluster.connect(apisix.endpoint, {
          ca: await cluster.trustBundle(apisix.endpoint.trust),
          pair: await cluster.keyPair(apisix.endpoint.certificate),
        }),
      key: "an-admin-key-with-letters",
      deadline: 2_000,
    });
  const start = (options: { now?: () => Date; beforePatch?: () => Promise<void> } = {}) => {
    const lines: string[] = [];
    const journal = new Journal((line) => lines.push(line.replace(/^\S+ /, "")));
    const kubernetes = new KubernetesApi("localhost", api.port, api.account);
    const own = admin();
    const served = new ServedCertificates((name) => shownFor(apisix.gatewayPort, name), journal);
    let patches = 0;
    const renewer = new Renewer({
      sealedBy,
      admin: {
        list: (kind) => own.list(kind),
        async patch(...args) {
          patches += 1;
          await options.beforePatch?.();
          await own.patch(...args);
        },
      },
      follow: (ref, onChange) => new SecretWatch(kubernetes, ref, onChange),
      served,
      journal,
      ...(options.now && { now: options.now }),
    });
    const stop = new AbortController();
    const done = renewer.run(stop.signal);
    running.push({ stop, done, api: kubernetes, admin: own });
    return { renewer, served, lines, patches: () => patches, stop, done };
  };
  const stored = async (id = "site") => (await client.get("ssls", id)) as Body;
  const holds = (pair: KeyPair, id = "site") =>
    until(`ssls/${id} holds its Secret's`, async () => (await stored(id))["cert"] === pair.cert);
  const shows = (pair: KeyPair) =>
    until("the gateway shows it", async () => {
      const shown = await shownFor(apisix.gatewayPort, host).catch(() => undefined);
      return shown?.fingerprint === fingerprintOf(pair.cert);
    });
  const watches = (count = 1) => until("it watches", () => api.watching === count);
  const said = ({ lines }: { lines: string[] }, words: RegExp) =>
    until(`it says ${words}`, () => lines.some((line) => words.test(line)));

  before(async function () {
    apisix = await startApisix(cluster, await Authority.create("admin"), () => this.skip());
    client = admin();
    edge = await Authority.create("edge");
  });
  beforeEach(async () => {
    api = await SecretsApi.start();
    api.granted.add("mtls/gateway");
    first = await leaf();
    api.pair("mtls/gateway", first);
    await client.put("ssls", "site", body(first));
  });
  afterEach(async () => {
    for (const one of running.splice(0)) {
      one.stop.abort();
      await one.done;
      one.api.close();
      one.admin.close();
    }
    for (const { id } of await client.list("ssls")) await client.delete("ssls", String(id));
    await api.stop();
  });
  after(async () => {
    client?.close();
    await apisix?.stop();
  });

  it("sets certificate, key and its labels when the Secret changes, and nothing else", async () => {
    const { lines, renewer } = start();
    await watches();
    const renewed = await later();
    const before = await stored();
    api.pair("mtls/gateway", renewed);
    await holds(renewed);
    await shows(renewed);
    const { update_time: _, cert, labels: after, ...rest } = await stored();
    const { update_time: __, cert: ___, labels: marks, ...kept } = before;
    same([cert, rest], [renewed.cert, kept]);
    const written = { [labels.certificate]: digestOf(renewed.cert), [labels.sealed]: sealedBy };
    same(after, { ...(marks as Body), ...written });
    await until("it is counted", () => renewer.histories.get("site")?.renewals === 1);
    const line = lines.find((one) => one.includes("renewed")) ?? "";
    match(line, /^ssls\/site renewed from Secret mtls\/gateway after \d\.\d{3} s; expires 20.*Z\.$/);
  });

  const faults = {
    "is emptied": { put: () => api.put("mtls/gateway", {}), words: /has no tls\.crt and no tls\.key/ },
    "has another certificate's key": {
      put: async () => api.pair("mtls/gateway", { ...(await later()), key: first.key }),
      words: /The private key does not belong/,
    },
    "has other names": {
      put: async () => api.pair("mtls/gateway", await later(["other.example"])),
      words: /does not cover "site\.example": it is for other\.example/,
    },
    "has expired": {
      put: async () => api.pair("mtls/gateway", await leaf([host], -1_000)),
      words: /expired at/,
    },
    "is temporarily deleted": {
      put: () => api.delete("mtls/gateway"),
      words: /^ssls\/site keeps its certificate\. Secret mtls\/gateway: It does not exist\.$/,
    },
  };
  for (const [fault, { put, words }] of Object.entries(faults)) {
    it(`keeps the last good certificate while the Secret ${fault}, reports it once, and carries on when it is right`, async () => {
      const run = start();
      await watches();
      await put();
      await said(run, words);
      await run.renewer.pass();
      await run.renewer.pass();
      equal((await stored())["cert"], first.cert);
      await shows(first);
      equal(run.lines.filter((line) => words.test(line)).length, 1);
      same([run.patches(), run.renewer.histories.get("site")], [0, { renewals: 0, failures: 0 }]);
      const { lastSuccess } = run.renewer;
      await run.renewer.pass();
      equal(run.renewer.lastSuccess, lastSuccess, "keeping a certificate for want of a better one counts as success");
      const renewed = await later();
      api.pair("mtls/gateway", renewed);
      await shows(renewed);
    });
  }

  it("is needed for that: the Admin API accepts a mismatched key, and the gateway then completes no handshake", async () => {
    await shows(first);
    await client.patch("ssls", "site", renewedLeaf({ ...(await leaf()), key: first.key }, sealedBy));
    await until("the gateway breaks", async () => {
      const error = await shownFor(apisix.gatewayPort, host).then(
        () => undefined,
        (reason: Error) => reason,
      );
      return /alert/.test(error?.message ?? "");
    });
    start();
    await shows(first);
  });

  it("does not bring back roots that a pulumi up retires in the middle of a renewal", async () => {
    const retired = (await Authority.create("next")).root;
    const clientCa = async () => ((await stored())["client"] as Body)["ca"];
    const renewed = await later();
    // What reading and writing back the whole object would do:
    const { create_time: _, update_time: __, ...whole } = await stored();
    await client.put("ssls", "site", body(first, retired));
    await client.put("ssls", "site", { ...whole, ...renewedLeaf(renewed, sealedBy), key: renewed.key });
    equal(await clientCa(), edge.root, "the old roots are back");

    await client.put("ssls", "site", body(first));
    const run = start({ beforePatch: () => client.put("ssls", "site", body(first, retired)) });
    await watches();
    api.pair("mtls/gateway", renewed);
    await until("it has patched", () => run.patches() > 0);
    await holds(renewed);
    equal(await clientCa(), retired);
  });

  it("loses neither leaf nor roots when many updates and renewals run at once", async () => {
    start();
    await watches();
    let pair = first;
    for (let round = 0; round < 10; round += 1) {
      const roots = (await Authority.create(`round ${round}`)).root;
      const renewed = await leaf();
      // An update reads the Secret a moment before it changes, and writes a moment after.
      api.pair("mtls/gateway", renewed);
      await client.put("ssls", "site", body(pair, roots));
      pair = renewed;
      await holds(renewed);
      equal(((await stored())["client"] as Body)["ca"], roots);
    }
  });

  it("replaces an older certificate that somebody has put there, at its next look", async () => {
    const run = start();
    await watches();
    const renewed = await later();
    api.pair("mtls/gateway", renewed);
    await holds(renewed);
    await client.put("ssls", "site", body(first));
    await holds(renewed);
    ok(run.patches() >= 2);
  });

  it("does not undo what another replica has renewed while its own watch lags", async () => {
    const run = start();
    await watches();
    const renewed = await later();
    api.pair("mtls/gateway", renewed, false);
    // The other replica has heard about it.
    await client.patch("ssls", "site", renewedLeaf(renewed, sealedBy));
    await until("it has looked", () => run.renewer.live[0]?.cert === renewed.cert);
    await until("it has read the Secret anew", () => api.requests.filter((one) => one.startsWith("list")).length === 2);
    await run.renewer.pass();
    same([run.patches(), (await stored())["cert"]], [0, renewed.cert]);
  });

  it("keeps a newer certificate while it cannot ask whether the Secret is still older", async () => {
    const run = start();
    await watches();
    const renewed = await later();
    await api.down();
    await client.patch("ssls", "site", renewedLeaf(renewed, sealedBy));
    await said(run, /which is not older than its Secret's: Secret mtls\/gateway cannot be read again/);
    same([run.patches(), (await stored())["cert"]], [0, renewed.cert]);
    api.pair("mtls/gateway", renewed);
    await api.up();
    await said(run, /^ssls\/site is fine again/);
    same([run.patches(), (await stored())["cert"]], [0, renewed.cert]);
  });

  it("does no harm when there are two", async () => {
    const both = [start(), start()];
    await watches(2);
    let last = first;
    for (let round = 0; round < 10; round += 1) {
      last = await leaf();
      api.pair("mtls/gateway", last);
      await shows(last);
    }
    // One of them may just have set the older leaf: both notice, and settle.
    const right = async () => {
      const before = both.map(({ patches }) => patches());
      for (const { renewer } of both) await renewer.pass();
      return both.every(({ patches }, index) => patches() === before[index]);
    };
    await until("both rest", right);
    equal((await stored())["cert"], last.cert);
    const renewals = both.map(({ renewer }) => renewer.histories.get("site"));
    ok(renewals.every((one) => one?.failures === 0));
    ok(renewals.reduce((sum, one) => sum + (one?.renewals ?? 0), 0) >= 10);
    ok(both.reduce((sum, { patches }) => sum + patches(), 0) <= 40);
  });

  it("retries until it succeeds when etcd is down during a renewal", async () => {
    const run = start();
    await watches();
    const renewed = await later();
    await apisix.etcd.kill();
    try {
      api.pair("mtls/gateway", renewed);
      await said(run, /^The Admin API does not answer properly|could not be renewed and will be retried/);
      await shows(first);
    } finally {
      await apisix.etcd.start();
    }
    await shows(renewed);
    await said(run, /renewed from Secret/);
  });

  it("carries on when APISIX is killed during a renewal", async () => {
    const run = start();
    await watches();
    const renewed = await later();
    await apisix.kill();
    try {
      api.pair("mtls/gateway", renewed);
      await said(run, /^The Admin API does not answer properly/);
    } finally {
      await apisix.start();
    }
    await shows(renewed);
  });

  it("keeps going while the API server is down, and learns what it missed", async () => {
    const run = start();
    await watches();
    await api.down();
    await said(run, /^Secret mtls\/gateway cannot be watched: the API server cannot be reached\.$/);
    await shows(first);
    const renewed = await later();
    api.pair("mtls/gateway", renewed);
    await api.up();
    await shows(renewed);
    equal(run.lines.filter((line) => line.includes("cannot be watched")).length, 1);
  });

  it("renews with a clock that is a minute slow", async () => {
    start({ now: () => new Date(Date.now() - 60_000) });
    await watches();
    const renewed = await later();
    api.pair("mtls/gateway", renewed);
    await shows(renewed);
  });

  it("renews with a clock that is a minute fast", async () => {
    start({ now: () => new Date(Date.now() + 60_000) });
    await watches();
    const renewed = await later();
    api.pair("mtls/gateway", renewed);
    await shows(renewed);
  });

  it("serves the other certificates while one Secret is not granted, and that one once it is", async () => {
    const other = await edge.leaf({ dnsNames: ["other.example"], usages: ["server auth"] });
    api.pair("team/site", other);
    await client.put("ssls", "other", { labels: { [labels.secret]: "team/site" }, ...other, snis: ["other.example"] });
    const run = start();
    await said(run, /^Secret team\/site may not be watched\. Its owner must grant it/);
    const renewed = await later();
    api.pair("mtls/gateway", renewed);
    await holds(renewed);
    const theirs = await later(["other.example"]);
    api.pair("team/site", theirs);
    api.granted.add("team/site");
    await holds(theirs, "other");
    await said(run, /^Secret team\/site is fine again/);
  });

  it("picks up new objects, drops deleted ones, and leaves others' alone", async () => {
    const run = start();
    await watches();
    await client.delete("ssls", "site");
    await watches(0);
    const { labels: _, ...unmarked } = body(first);
    await client.put("ssls", "by-hand", unmarked);
    await client.put("ssls", "site", body(first));
    await watches();
    const renewed = await later();
    api.pair("mtls/gateway", renewed);
    await holds(renewed);
    equal((await stored("by-hand"))["cert"], first.cert);
    ok(run.lines.every((line) => !line.includes("by-hand")));
  });

  it("exports what it knows, but no key", async () => {
    const run = start();
    await watches();
    await until("it has looked", () => run.served.seen.size === 1);
    await until("all is right", () => run.renewer.lastSuccess !== undefined);
    const folder = mkdtempSync(join(tmpdir(), "roots-"));
    writeFileSync(join(folder, "edge.crt"), edge.root);
    const roots = { edge: join(folder, "edge.crt"), upstream: join(folder, "missing.crt") };
    const text = exposition(families({ renewer: run.renewer, served: run.served, roots }));
    rmSync(folder, { recursive: true });
    const end = Number(endOf(first.cert)) / 1_000;
    const root = new X509Certificate(edge.root);
    const rootLabels = `plane="edge",root="${digestOf(edge.root).slice(0, 8)}"`;
    const labels = 'object="site",namespace="mtls",secret="gateway"';
    for (const line of [
      `mtls_renewer_live_not_after_seconds{${labels}} ${end}`,
      `mtls_renewer_secret_not_before_seconds{${labels}} ${Number(new X509Certificate(first.cert).validFromDate) / 1_000}`,
      `mtls_renewer_secret_not_after_seconds{${labels}} ${end}`,
      `mtls_renewer_root_not_before_seconds{${rootLabels}} ${Number(root.validFromDate) / 1_000}`,
      `mtls_renewer_root_not_after_seconds{${rootLabels}} ${Number(root.validToDate) / 1_000}`,
      `mtls_renewer_served_not_after_seconds{object="site",name="site.example"} ${end}`,
      `mtls_renewer_in_agreement{${labels}} 1`,
      `mtls_renewer_watching{${labels}} 1`,
      `mtls_renewer_renewals_total{${labels}} 0`,
      `mtls_renewer_renewal_failures_total{${labels}} 0`,
      'mtls_renewer_renewal_duration_seconds_bucket{le="+Inf"} 0',
    ]) {
      ok(text.includes(`${line}\n`), `${line} is not in\n${text}`);
    }
    match(text, /mtls_renewer_last_success_timestamp_seconds \d{10}/);
    ok(!text.includes("BEGIN"));
    ok(!text.includes("mtls_renewer_intermediate_not_after_seconds{"));
    for (const metric of Object.values(metrics)) ok(text.includes(`# TYPE ${metric} `), metric);
  });

  it("exports an intermediate's expiry if the platform's roots signed it: another authority's is that one's care", async () => {
    const run = start();
    await watches();
    const folder = mkdtempSync(join(tmpdir(), "roots-"));
    writeFileSync(join(folder, "edge.crt"), edge.root);
    const issuedBy = async (authority: Authority) => {
      await new Promise((resolve) => setTimeout(resolve, 1_050));
      const intermediate = await authority.intermediate("intermediate");
      const { cert, key } = await intermediate.leaf({ dnsNames: [host], usages: ["server auth"], lifetime: 3_600_000 });
      const pair = { cert: cert + intermediate.root, key };
      api.pair("mtls/gateway", pair);
      await holds(pair);
      const text = exposition(
        families({ renewer: run.renewer, served: run.served, roots: { edge: join(folder, "edge.crt") } }),
      );
      return text.includes("mtls_renewer_intermediate_not_after_seconds{");
    };
    same([await issuedBy(edge), await issuedBy(await Authority.create("public"))], [true, false]);
    rmSync(folder, { recursive: true });
  });
});
