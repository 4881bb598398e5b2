// The watch of a single Secret, against an API server that fails in every way that a real one does.

import { deepStrictEqual as same, match, ok, rejects, strictEqual as equal } from "node:assert/strict";

import type { KeyPair } from "../../cluster-access/certificates.ts";
import { KubernetesApi, type Limits } from "../../renewer/kubernetesApi.ts";
import { SecretWatch } from "../../renewer/secretWatch.ts";
import { SecretsApi } from "./secretsApi.ts";
import { until } from "./until.ts";

const name = "mtls/gateway";
const ref = { namespace: "mtls", name: "gateway" };
const pair = (text: string): KeyPair => ({ cert: `cert ${text}`, key: `key ${text}` });

describe("the renewer's watch of a Secret", () => {
  let server: SecretsApi;
  let api: KubernetesApi;
  const watches: SecretWatch[] = [];
  const follow = (limits: Limits = {}, onChange = () => {}) => {
    api = new KubernetesApi("localhost", server.port, server.account, limits);
    const watch = new SecretWatch(api, ref, onChange);
    watches.push(watch);
    return watch;
  };
  const holds = (watch: SecretWatch, text: string) =>
    until(`Secret ${text} is seen`, () => watch.found.kind === "pair" && watch.found.pair.cert === `cert ${text}`);

  beforeEach(async () => {
    server = await SecretsApi.start();
    server.granted.add(name);
    server.pair(name, pair("1"));
  });
  afterEach(async () => {
    for (const watch of watches.splice(0)) watch.stop();
    api.close();
    await server.stop();
  });

  it("asks for that one name, and hears about changes as they happen", async () => {
    const watch = follow();
    await holds(watch, "1");
    await until("it watches", () => server.watching === 1);
    same(server.requests, [`list ${name}`, `watch ${name}`]);
    same([watch.watching, watch.trouble], [true, undefined]);
    server.pair(name, pair("2"));
    await holds(watch, "2");
    same(server.requests, [`list ${name}`, `watch ${name}`]);
    same(watch.found, { kind: "pair", pair: pair("2") });
  });

  it("hears about a change between its list and its watch", async () => {
    server.delay = 200;
    const watch = follow();
    await until("it has listed", () => server.requests.length === 2);
    server.pair(name, pair("2"), false);
    await holds(watch, "2");
  });

  it("names what is missing: the Secret, or an entry of it", async () => {
    const watch = follow();
    await until("it watches", () => server.watching === 1);
    const problem = () => (watch.found.kind === "unusable" ? watch.found.problem : watch.found.kind);
    server.delete(name);
    await until("it is gone", () => problem() === "It does not exist.");
    server.put(name, {});
    await until("it is empty", () => problem() === "It has no tls.crt and no tls.key.");
    server.put(name, { "tls.crt": "x", "tls.key": "" });
    await until("it lacks its key", () => problem() === "It has no tls.key.");
    server.pair(name, pair("2"));
    await holds(watch, "2");
  });

  it("starts again when its time is up", async () => {
    const watch = follow();
    await until("it watches", () => server.watching === 1);
    server.endWatches();
    await until("it watches again", () => server.watching === 1);
    equal(watch.trouble, undefined);
    server.pair(name, pair("2"));
    await holds(watch, "2");
  });

  it("says nothing about a watch that breaks once", async () => {
    const troubles: unknown[] = [];
    const watch: SecretWatch = follow({}, () => troubles.push(watch.trouble));
    await until("it watches", () => server.watching === 1);
    server.cut();
    await until("it watches again", () => server.watching === 1);
    server.pair(name, pair("2"));
    await holds(watch, "2");
    same(troubles, [undefined, undefined, undefined]);
  });

  for (const gone of ["event", "status"] as const) {
    it(`lists again when its version is too old (410 by ${gone})`, async () => {
      server.gone = gone;
      const watch = follow();
      await holds(watch, "1");
      server.pair(name, pair("2"), false);
      await holds(watch, "2");
      same([watch.trouble, watch.watching], [undefined, true]);
      server.gone = undefined;
      await until("it watches", () => server.watching === 1);
      server.pair(name, pair("3"));
      await holds(watch, "3");
    });
  }

  it("says once what to grant, and picks up a later grant", async () => {
    server.granted.clear();
    const watch = follow();
    await until("it is refused twice", () => server.requests.length >= 2);
    same([watch.found, watch.watching], [{ kind: "unread" }, false]);
    match(watch.trouble ?? "", /^may not be watched\. Its owner must grant it with a RenewerGrant/);
    await rejects(watch.refresh(), /HTTP 403/);
    server.granted.add(name);
    await holds(watch, "1");
    equal(watch.trouble, undefined);
  });

  it("rereads its token for each request", async () => {
    const watch = follow();
    await until("it watches", () => server.watching === 1);
    server.issueToken("token-2");
    server.endWatches();
    await until("it watches again", () => server.watching === 1);
    equal(watch.trouble, undefined);
  });

  it("keeps what it knows while the API server is down, and carries on afterwards", async () => {
    const watch = follow();
    await until("it watches", () => server.watching === 1);
    await server.down();
    await until("it is noticed", () => watch.trouble !== undefined);
    same([watch.found, watch.watching], [{ kind: "pair", pair: pair("1") }, false]);
    await rejects(watch.refresh());
    server.pair(name, pair("2"));
    await server.up();
    await holds(watch, "2");
    await until("it watches", () => watch.watching && server.watching === 1);
  });

  it("waits for a slow server, and gives up on one that never answers", async () => {
    server.delay = 1_000;
    const watch = follow({ answer: 3_000 });
    await holds(watch, "1");
    await until("it watches", () => server.watching === 1);
    server.delay = 0;
    server.silent = true;
    server.endWatches();
    await until("it gives up", () => watch.trouble !== undefined);
    equal(watch.trouble, "cannot be watched: no answer within 3 s.");
    server.silent = false;
    server.pair(name, pair("2"));
    await holds(watch, "2");
  });

  it("drops a watch that has gone silent when its time is up", async () => {
    const watch = follow({ watch: 500 });
    await until("it watches", () => server.watching === 1);
    server.pair(name, pair("2"), false);
    await holds(watch, "2");
    ok(server.requests.filter((one) => one.startsWith("list")).length >= 2);
  });

  it("opens no connection once stopped, which nothing would close", async () => {
    follow().stop();
    api.close();
    await new Promise((resolve) => setTimeout(resolve, 300));
    equal(server.connections, 0);
  });

  it("stops", async () => {
    const watch = follow();
    await until("it watches", () => server.watching === 1);
    watch.stop();
    await until("nobody watches", () => server.watching === 0);
    const asked = server.requests.length;
    server.pair(name, pair("2"));
    await new Promise((resolve) => setTimeout(resolve, 300));
    same([server.requests.length, watch.found], [asked, { kind: "pair", pair: pair("1") }]);
  });
});
