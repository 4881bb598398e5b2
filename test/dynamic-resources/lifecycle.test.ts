// The life cycle of Admin API objects against a server over mutual TLS: creation, lost responses, owners, drift, removal.

import { deepStrictEqual as same, match, rejects, strictEqual as equal } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";

import type { Body } from "../../apisix-admin/body.ts";
import type { AdminClient } from "../../apisix-admin/client.ts";
import type { KindName } from "../../apisix-admin/kinds/registry.ts";
import { livePresenters } from "../../apisix-admin/livePresenters.ts";
import { renewedLeaf } from "../../apisix-admin/renewal.ts";
import { sealOf } from "../../apisix-admin/sealing.ts";
import { adminClient, closeSessions } from "../../apisix-admin/session.ts";
import { digestOf } from "../../cluster-access/certificates.ts";
import { check, create, diff, read, remove, update } from "../../dynamic-resources/resources.ts";
import type { AdminEndpoint } from "../../vocabulary/endpoints.ts";
import { clusterUid, MemoryCluster, startApisix, type Started } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";
import { logged } from "../support/logged.ts";

const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

describe("the life cycle of Admin API objects", function () {
  const cluster = new MemoryCluster();
  let apisix: Started<AdminEndpoint>;
  let client: AdminClient;
  let edge: Authority;
  let common: { admin: AdminEndpoint; owner: string };

  before(async function () {
    apisix = await startApisix(cluster, await Authority.create("admin"), () => this.skip());
    client = await adminClient(cluster, apisix.endpoint);
    common = { admin: apisix.endpoint, owner: "mtls/dev/x" };
    edge = await Authority.create("edge");
    cluster.leaf("site", await edge.leaf({ dnsNames: ["site.example"], usages: ["server auth"] }));
    cluster.trust("edge", edge.root);
  });

  after(async () => {
    await closeSessions(cluster);
    await apisix?.stop();
  });

  afterEach(async () => {
    cluster.onConnect = () => {};
    cluster.leaf("site", await edge.leaf({ dnsNames: ["site.example"], usages: ["server auth"] }));
    for (const kind of ["routes", "upstreams", "ssls", "global_rules", "plugin_configs"] as const) {
      for (const { id } of await client.list(kind)) await client.delete(kind, String(id));
    }
  });

  const upstream = (fields: object = {}) => ({
    ...common,
    objectId: "hello",
    nodes: [{ host: "127.0.0.1", port: 8443 }],
    serverName: "hello.example",
    ...fields,
  });
  const route = (fields: object = {}) => ({
    ...common,
    objectId: "hello",
    hosts: ["site.example"],
    uris: ["/*"],
    upstream: "hello",
    ...fields,
  });
  const ssl = (fields: object = {}) => ({
    ...common,
    objectId: "site",
    use: "server",
    certificate: { namespace: "mtls", name: "site" },
    snis: ["site.example"],
    clients: { trust: { namespace: "mtls", name: "edge", key: "ca.crt" } },
    ...fields,
  });
  const stored = async (kind: KindName, id: string) => {
    const { create_time: _c, update_time: _u, ...rest } = (await client.get(kind, id)) as Body;
    return rest;
  };

  it("creates an upstream that verifies its server by name", async () => {
    const { id, outs } = await create("upstreams", upstream(), cluster);
    const body = {
      labels: { "mtls-everywhere.owner": "mtls/dev/x", "mtls-everywhere.instance": outs["instance"] },
      type: "roundrobin",
      scheme: "https",
      pass_host: "rewrite",
      upstream_host: "hello.example",
      nodes: [{ host: "127.0.0.1", port: 8443, weight: 1 }],
    };
    same(await stored("upstreams", "hello"), { ...body, id: "hello" });
    same({ id, outs }, { id: "hello", outs: { ...upstream(), instance: outs["instance"], live: body } });
  });

  it("creates a certificate from its Secret and keeps no PEM", async () => {
    const { outs } = await create("ssls", ssl(), cluster);
    const { cert } = await cluster.keyPair({ namespace: "mtls", name: "site" });
    const live = await stored("ssls", "site");
    same(live["labels"], {
      "mtls-everywhere.owner": "mtls/dev/x",
      "mtls-everywhere.instance": outs["instance"],
      "mtls-everywhere.certificate": digestOf(cert),
      "mtls-everywhere.client-trust": digestOf(edge.root),
      "mtls-everywhere.secret": "mtls/site",
    });
    same(live["client"], { ca: edge.root, depth: 1 });
    equal(outs["digest"], digestOf(cert));
    equal(JSON.stringify(outs).includes("-----BEGIN"), false);
  });

  it("sees no change after a create or a refresh", async () => {
    await create("upstreams", upstream(), cluster);
    const objects = [
      ["upstreams", upstream()],
      ["ssls", ssl()],
      ["routes", route({ plugins: { "limit-count": { count: 1, time_window: 60 } }, methods: ["GET"] })],
    ] as const;
    for (const [kind, inputs] of objects) {
      const { id, outs } = await create(kind, inputs, cluster);
      equal((await diff(kind, id, outs, inputs, cluster)).changes, false, kind);
      const refreshed = await read(kind, id, outs, cluster);
      same(refreshed, { id, props: outs }, kind);
    }
  });

  it("survives a lost response, and recognises its own object when create runs again", async () => {
    let lost = 0;
    await closeSessions(cluster);
    cluster.onConnect = (socket) => {
      if (lost === 0 && socket) loseAnswerTo("PUT", socket, () => (lost += 1));
    };
    await create("upstreams", upstream(), cluster);
    equal(lost, 1);
    await create("upstreams", upstream(), cluster);
    same(await client.list("upstreams"), [await client.get("upstreams", "hello")]);
  });

  it("refuses an object with no owner or another owner, and adopts it when told to", async () => {
    const foreign = { type: "roundrobin", nodes: { "127.0.0.1:1": 1 } };
    await client.put("upstreams", "hello", foreign);
    await rejects(create("upstreams", upstream(), cluster), {
      message:
        "upstreams/hello already exists and was created by hand or by another tool. Choose another id, or set adopt: true to take it over.",
    });
    await client.put("upstreams", "hello", { ...foreign, labels: { "mtls-everywhere.owner": "shop/prod/y" } });
    await rejects(create("upstreams", upstream(), cluster), /belongs to shop\/prod\/y/);
    await create("upstreams", upstream({ adopt: true }), cluster);
    equal((await stored("upstreams", "hello"))["upstream_host"], "hello.example");
  });

  it("shows drift in sentences and repairs it, with and without a refresh", async () => {
    const { id, outs } = await create("upstreams", upstream(), cluster);
    const drifted = { ...(await stored("upstreams", id)), scheme: "http", retries: 3, id: undefined };
    for (const refresh of [false, true]) {
      await client.put("upstreams", id, drifted);
      const state = refresh ? (await read("upstreams", id, outs, cluster)).props! : outs;
      const lines = await logged(() => diff("upstreams", id, state, upstream(), cluster));
      same(lines.result, { changes: true, deleteBeforeReplace: true });
      same(lines.lines, [
        "upstreams/hello: retries is 3, not wanted",
        'upstreams/hello: scheme is "http", wanted "https"',
      ]);
      if (refresh) equal((state["live"] as Body)["scheme"], "http");
      same((await update("upstreams", id, state, upstream(), cluster)).outs, outs);
      equal((await diff("upstreams", id, outs, upstream(), cluster)).changes, false);
    }
  });

  it("compares with the current Secret, not with state", async () => {
    const { id, outs } = await create("ssls", ssl(), cluster);
    cluster.leaf("site", await edge.leaf({ dnsNames: ["site.example"], usages: ["server auth"] }));
    equal((await diff("ssls", id, outs, ssl(), cluster)).changes, true);
    const { outs: renewed } = await update("ssls", id, outs, ssl(), cluster);
    const { cert } = await cluster.keyPair({ namespace: "mtls", name: "site" });
    equal(renewed["digest"], digestOf(cert));
    equal((await diff("ssls", id, renewed, ssl(), cluster)).changes, false);
  });

  it("leaves a renewed Secret to the gateway's renewer if it has one, and includes it in other updates", async () => {
    const [sealedBy, former] = ["2-0123abcd", "1-4567cdef"];
    const admin = { ...common.admin, renews: true, sealedBy };
    const { id, outs } = await create("ssls", ssl({ admin }), cluster);
    cluster.leaf("site", await edge.leaf({ dnsNames: ["site.example"], usages: ["server auth"] }));
    equal((await diff("ssls", id, outs, ssl({ admin }), cluster)).changes, false);
    // Any other change is one, and takes the Secret as it is now.
    const open = ssl({ admin, clients: "anyone" });
    equal((await diff("ssls", id, outs, open, cluster)).changes, true);
    const { outs: updated } = await update("ssls", id, outs, open, cluster);
    const renewed = await cluster.keyPair({ namespace: "mtls", name: "site" });
    equal(updated["digest"], digestOf(renewed.cert));
    // Nor is what the renewer writes meanwhile a change, before or after a refresh.
    cluster.leaf("site", await edge.leaf({ dnsNames: ["site.example"], usages: ["server auth"] }));
    const latest = await cluster.keyPair({ namespace: "mtls", name: "site" });
    await client.patch("ssls", "site", renewedLeaf(latest, sealedBy));
    equal((await diff("ssls", id, updated, open, cluster)).changes, false);
    const { props } = await read("ssls", id, updated, cluster);
    equal((await diff("ssls", id, props!, open, cluster)).changes, false);
    // What a pod wrote that still sealed with the previous key is one.
    await client.patch("ssls", "site", renewedLeaf(latest, former));
    equal((await diff("ssls", id, updated, open, cluster)).changes, true);
    await client.patch("ssls", "site", renewedLeaf(latest, sealedBy));
    // A certificate that came from elsewhere is a change.
    await client.patch("ssls", "site", { labels: { "mtls-everywhere.secret": "mtls/other" } });
    equal((await diff("ssls", id, updated, open, cluster)).changes, true);
  });

  it("goes by a certificate's declared names, and waits until they are issued", async () => {
    const { id, outs } = await create("ssls", ssl(), cluster);
    const certificate = { namespace: "mtls", name: "site", dnsNames: ["shop.example"] };
    const renamed = ssl({ certificate, snis: ["shop.example"] });
    const { failures } = await check("ssls", ssl({ certificate, snis: ["other.example"] }), cluster);
    same(failures, [
      {
        property: "snis",
        reason:
          "The Certificate of Secret mtls/site does not declare other.example. Add it to the Certificate's dnsNames, or remove it from snis.",
      },
    ]);
    same((await check("ssls", renamed, cluster)).failures, []);
    const updated = update("ssls", id, outs, renamed, cluster);
    await sleep(400);
    same((await stored("ssls", "site"))["snis"], ["site.example"]);
    cluster.leaf("site", await edge.leaf({ dnsNames: ["shop.example"], usages: ["server auth"] }));
    await updated;
    same((await stored("ssls", "site"))["snis"], ["shop.example"]);
  });

  it("changes even if only the inputs do, since delete runs with what the state holds", async () => {
    const { id, outs } = await create("upstreams", upstream(), cluster);
    const moved = upstream({ admin: { ...common.admin, selector: "app=gateway" } });
    same(await diff("upstreams", id, outs, moved, cluster), { changes: true, deleteBeforeReplace: true });
  });

  it("changes if its program moves from a checkout to the installed package, since the code in its state would find nothing", async () => {
    const code = (name: string) => ({ __provider: `await import("${name}/dynamic-resources")` });
    const { outs } = await create("upstreams", upstream(code("@mtls-everywhere")), cluster);
    const changes = async (name: string) =>
      (await diff("upstreams", "hello", outs, upstream(code(name)), cluster)).changes;
    same([await changes("@mtls-everywhere"), await changes("mtls-everywhere")], [false, true]);
  });

  it("is replaced for another id or cluster, and waits if inputs are unknown", async () => {
    const { id, outs } = await create("upstreams", upstream(), cluster);
    const replaced = async (fields: object) => (await diff("upstreams", id, outs, upstream(fields), cluster)) as object;
    same(await replaced({ objectId: "other" }), { changes: true, replaces: ["objectId"], deleteBeforeReplace: false });
    same(await replaced({ admin: { ...common.admin, cluster: "another" } }), {
      changes: true,
      replaces: ["admin"],
      deleteBeforeReplace: false,
    });
    same(await replaced({ admin: unknown }), { changes: true, deleteBeforeReplace: true });
  });

  it("recreates what was deleted behind its back", async () => {
    const { id, outs } = await create("upstreams", upstream(), cluster);
    await client.delete("upstreams", id);
    equal((await diff("upstreams", id, outs, upstream(), cluster)).changes, true);
    same(await read("upstreams", id, outs, cluster), {});
    await update("upstreams", id, outs, upstream(), cluster);
    equal((await stored("upstreams", id))["upstream_host"], "hello.example");
  });

  it("deletes its own object, succeeds if there is none, and leaves another owner's alone", async () => {
    const { id, outs } = await create("upstreams", upstream(), cluster);
    await remove("upstreams", id, outs, cluster);
    equal(await client.get("upstreams", id), undefined);
    await remove("upstreams", id, outs, cluster);
    await create("upstreams", upstream({ owner: "shop/prod/y" }), cluster);
    same((await logged(() => remove("upstreams", id, outs, cluster))).lines, [
      "upstreams/hello stays: it now belongs to shop/prod/y.",
    ]);
    equal((await stored("upstreams", id))["upstream_host"], "hello.example");
  });

  it("keeps its object when its resource moves under another parent, and so changes owner", async () => {
    const { id, outs } = await create("upstreams", upstream(), cluster);
    const moved = upstream({ owner: "mtls/dev/mtls%3Aplatform%3ASite/x" });
    same(await diff("upstreams", id, outs, moved, cluster), { changes: true, deleteBeforeReplace: true });
    await update("upstreams", id, outs, moved, cluster);
    // If the update is killed before the state has it, it runs again from the start.
    const { outs: now } = await update("upstreams", id, outs, moved, cluster);
    same((await stored("upstreams", id))["labels"], {
      "mtls-everywhere.owner": moved.owner,
      "mtls-everywhere.instance": outs["instance"],
    });
    equal((await diff("upstreams", id, now, moved, cluster)).changes, false);
    // Whoever took it meanwhile keeps it.
    await create("upstreams", upstream({ owner: "shop/prod/y", adopt: true }), cluster);
    await rejects(update("upstreams", id, outs, moved, cluster), /belongs to shop\/prod\/y/);
  });

  it("leaves its own replacement's object under the same id alone", async () => {
    const old = await create("upstreams", upstream(), cluster);
    const replacement = await create("upstreams", upstream(), cluster);
    same((await logged(() => remove("upstreams", "hello", old.outs, cluster))).lines, [
      "upstreams/hello stays: it now belongs to its replacement.",
    ]);
    equal((await diff("upstreams", "hello", replacement.outs, upstream(), cluster)).changes, false);
    await remove("upstreams", "hello", replacement.outs, cluster);
    same(await client.list("upstreams"), []);
  });

  it("refuses a name that another owner's certificate serves, at preview and at create (case 6)", async () => {
    await create("ssls", ssl(), cluster);
    const shop = { owner: "shop/dev/site", objectId: "shop-site" };
    const reasons = async (fields: object) => (await check("ssls", ssl({ ...shop, ...fields }), cluster)).failures;
    const served =
      'ssls/shop-site: "site.example" is already served by ssls/site of mtls/dev/x. ' +
      "Remove the name from one of them: APISIX would serve either.";
    same(await reasons({ clients: "anyone" }), [{ property: "snis", reason: served }]);
    await rejects(create("ssls", ssl({ ...shop, clients: "anyone" }), cluster), { message: served });
    equal(await client.get("ssls", "shop-site"), undefined);

    cluster.leaf("wild", await edge.leaf({ dnsNames: ["*.example"], usages: ["server auth"] }));
    const wild = { snis: ["*.example"], certificate: { namespace: "mtls", name: "wild" } };
    same(await reasons(wild), []);
    same(await reasons({ ...wild, clients: "anyone" }), [
      {
        property: "snis",
        reason:
          'ssls/shop-site: "*.example" overlaps "site.example" of ssls/site of mtls/dev/x, which accepts other clients. ' +
          "Remove the name from one of them: APISIX would serve either.",
      },
    ]);
    // It replaces its own object under another id.
    same(await check("ssls", ssl({ objectId: "elsewhere" }), cluster).then(({ failures }) => failures), []);
  });

  it("warns of two routes for the same requests, live or wanted by the same preview (case 6)", async () => {
    const at = new MemoryCluster();
    for (const kind of ["secrets", "configMaps"] as const)
      for (const [name, entries] of cluster[kind]) at[kind].set(name, entries);
    const warnings = async (objectId: string, fields: object = {}) =>
      (await logged(() => check("routes", route({ objectId, owner: `shop/dev/${objectId}`, ...fields }), at))).lines;
    const warned = (id: string, path: string, other: string) =>
      `warning: routes/${id}: "${path}" of site.example is also taken by routes/${other}, and which of the two answers is up to chance. ` +
      "Unless that one is being removed, give them different paths, methods, vars or priorities.";
    await create("upstreams", upstream(), cluster);
    await create("routes", route(), cluster);
    try {
      same(await warnings("first", { hosts: ["Site.example"], uris: ["/a", "/*"] }), [
        warned("first", "/*", "hello of mtls/dev/x"),
      ]);
      // What the first wants is nowhere else yet; what a preview does not know of a route says nothing against it.
      same(await warnings("second", { uris: ["/a"], upstream: unknown }), [
        warned("second", "/a", "first of shop/dev/first"),
      ]);
      same(await warnings("unknown", { uris: unknown }), []);
      for (const [id, fields] of Object.entries({
        elsewhere: { hosts: ["other.example"] },
        longer: { uris: ["/a/*"] },
        preferred: { priority: 1 },
        conditional: { priority: 2, vars: [["arg_a", "==", "1"]] },
        otherwise: { priority: 2, vars: [["arg_a", "==", "2"]] },
        off: { enabled: false },
      }))
        same(await warnings(id, fields), [], id);
      same(await warnings("reading", { hosts: ["rest.example"], methods: ["GET"] }), []);
      same(await warnings("writing", { hosts: ["rest.example"], methods: ["POST", "PUT"] }), []);
      // A condition says nothing to a request that meets it.
      same(await warnings("any", { hosts: ["rest.example"], vars: [["arg_a", "==", "1"]] }), [
        warned("any", "/*", "reading of shop/dev/reading").replace("site.example", "rest.example"),
        warned("any", "/*", "writing of shop/dev/writing").replace("site.example", "rest.example"),
      ]);
      // Its own route under another id is one that it replaces.
      same(await warnings("moved", { owner: "shop/dev/longer", uris: ["/a/*"] }), []);
    } finally {
      await closeSessions(at);
    }
  });

  it("says what still refers to an object that is to be deleted", async () => {
    await rejects(
      create("upstreams", upstream({ clientCertificate: "caller" }), cluster),
      /failed to fetch ssl info by ssl id \[caller\].*Create the object that it refers to first/,
    );

    const caller = ssl({ objectId: "caller", use: "client", snis: undefined, clients: undefined });
    const certificate = await create("ssls", caller, cluster);
    const { outs } = await create("upstreams", upstream({ clientCertificate: "caller" }), cluster);
    await create("routes", route(), cluster);
    await rejects(
      remove("upstreams", "hello", outs, cluster),
      /upstreams\/hello: can not delete this upstream, route \[hello\] is still using it now/,
    );
    same(await livePresenters("caller", common.admin, cluster), ["upstreams/hello"]);
    await rejects(remove("ssls", "caller", certificate.outs, cluster), {
      message:
        "ssls/caller: is still presented by upstreams/hello (HTTP 400). Give them another client certificate, or delete them first.",
    });
    equal((await stored("ssls", "caller"))["type"], "client");
  });

  it("refuses what the server would accept and then choke on", async () => {
    const site = await edge.leaf({ dnsNames: ["site.example"], usages: ["server auth"] });
    const other = await edge.leaf({ dnsNames: ["site.example"], usages: ["server auth"] });
    const bad = {
      mismatched: { cert: site.cert, key: other.key },
      expired: await edge.leaf({ dnsNames: ["site.example"], usages: ["server auth"], lifetime: -1_000 }),
      elsewhere: await edge.leaf({ dnsNames: ["other.example"], usages: ["server auth"] }),
    };
    const reasons: Record<string, string[]> = {};
    for (const [name, pair] of Object.entries(bad)) {
      const inputs = ssl({ certificate: cluster.leaf(name, pair) });
      reasons[name] = (await check("ssls", inputs, cluster)).failures.map(
        ({ property, reason }) => `${property}: ${reason}`,
      );
      await rejects(create("ssls", inputs, cluster), new RegExp(`ssls/site: Secret mtls/${name}: `));
    }
    match(
      reasons["mismatched"]!.join(),
      /^certificate: Secret mtls\/mismatched: The private key does not belong to the certificate of /,
    );
    match(
      reasons["expired"]!.join(),
      /^certificate: Secret mtls\/expired: The certificate of .* expired at .*Z\. Correct the Certificate/,
    );
    same(reasons["elsewhere"], [
      'certificate: Secret mtls/elsewhere: The certificate does not cover "site.example": it is for other.example. Correct the Certificate that issues it, or name another Secret.',
    ]);
    same(await client.list("ssls"), []);
  });

  it("labels what APISIX seals, and has it resealed when another key, or a new value of it, comes first", async () => {
    const sealed = (by: string) => ({ admin: { ...common.admin, sealedBy: by } });
    const [first, replaced, second] = [sealOf("1", "a key"), sealOf("1", "another value"), sealOf("2", "a key")];
    const objects = [
      ["upstreams", upstream, undefined],
      ["ssls", ssl, first],
      ["routes", (fields: object) => route({ plugins: { csrf: { key: "secret" } }, ...fields }), first],
      ["routes", (fields: object) => route({ objectId: "plain", ...fields }), undefined],
    ] as const;
    for (const [kind, inputs, label] of objects) {
      const { id, outs } = await create(kind, inputs(sealed(first)), cluster);
      const labelOf = async () => ((await stored(kind, id))["labels"] as Body)["mtls-everywhere.sealed"];
      equal(await labelOf(), label, kind);
      equal((await diff(kind, id, outs, inputs(sealed(first)), cluster)).changes, false, kind);
      for (const [was, wanted] of [
        [first, replaced],
        [replaced, second],
      ] as const) {
        const { lines } = await logged(() => diff(kind, id, outs, inputs(sealed(wanted)), cluster));
        const difference = `${kind}/${id}: labels.mtls-everywhere.sealed is "${was}", wanted "${wanted}"`;
        same(lines, label === undefined ? [] : [difference]);
        await update(kind, id, outs, inputs(sealed(wanted)), cluster);
        equal(await labelOf(), label === undefined ? undefined : wanted, kind);
      }
    }
  });

  it("checks against the server's schema at preview", async () => {
    const { failures } = await check("routes", route({ methods: ["GET", "GET"] }), cluster);
    equal(failures.length, 1);
    match(failures[0]!.reason, /expected unique items/);
    equal(failures[0]!.property, "methods");
  });

  it("does not mind a server or Secret that does not exist yet", async () => {
    const absent = { ...common.admin, port: 1 };
    const nowhere = { ...common.admin, certificate: { namespace: "mtls", name: "later" } };
    same((await check("routes", route({ admin: nowhere }), cluster)).failures, []);
    same((await check("routes", route({ admin: unknown, upstream: unknown }), cluster)).failures, []);
    same((await check("ssls", ssl({ certificate: { namespace: "mtls", name: "later" } }), cluster)).failures, []);
    same((await check("routes", route({ admin: absent }), cluster)).failures, []);
  }).timeout(15_000);

  it("gives a global rule an id that is unique to its owner", async () => {
    const set = { headers: { set: { "x-rule": "yes" } } };
    const rule = (fields: object = {}) => ({
      ...common,
      objectId: "headers",
      plugins: { "response-rewrite": set },
      ...fields,
    });
    const { id, outs } = await create("global_rules", rule(), cluster);
    match(id, /^headers\.[0-9a-f]{12}$/);
    same(await stored("global_rules", id), { id, plugins: { "response-rewrite": set } });
    same(outs["live"], { plugins: ["response-rewrite"] });
    same(await read("global_rules", id, outs, cluster), { id, props: outs });
    equal((await diff("global_rules", id, outs, rule(), cluster)).changes, false);
    same((await check("global_rules", rule(), cluster)).failures, []);
    // A retry after a lost response finds its own object; another owner gets another one, here with a plugin that is taken.
    equal((await create("global_rules", rule(), cluster)).id, id);
    await rejects(create("global_rules", rule({ owner: "shop/prod/headers" }), cluster), {
      message: new RegExp(`plugin 'response-rewrite' already exists in global rule with id '${id}'`),
    });
    same((await diff("global_rules", id, outs, rule({ owner: "shop/prod/headers" }), cluster)).replaces, ["objectId"]);
    const other = { plugins: { "response-rewrite": { headers: { set: { "x-rule": "no" } } } } };
    await client.put("global_rules", id, other);
    same((await logged(() => diff("global_rules", id, outs, rule(), cluster))).lines, [
      `global_rules/${id}: plugins.response-rewrite.headers.set.x-rule is not as wanted`,
    ]);
    await remove("global_rules", id, outs, cluster);
    equal(await client.get("global_rules", id), undefined);
  });

  it("keeps a plugin config while a route shares it", async () => {
    const config = { ...common, objectId: "shared", plugins: { cors: {} }, description: "for all" };
    const { id, outs } = await create("plugin_configs", config, cluster);
    const labels = { "mtls-everywhere.owner": "mtls/dev/x", "mtls-everywhere.instance": outs["instance"] };
    same(await stored("plugin_configs", id), { id, labels, plugins: { cors: {} }, desc: "for all" });
    same(outs["live"], { labels, plugins: ["cors"], desc: "for all" });
    equal((await diff("plugin_configs", id, outs, config, cluster)).changes, false);
    same((await check("plugin_configs", config, cluster)).failures, []);
    const upstream = { nodes: { "127.0.0.1:1": 1 } };
    await client.put("routes", "shop", { uri: "/", plugin_config_id: id, upstream });
    await rejects(remove("plugin_configs", id, outs, cluster), {
      message:
        "plugin_configs/shared: can not delete this plugin config, route [shop] is still using it now (HTTP 400). Delete that one first, or let it use another.",
    });
    await client.delete("routes", "shop");
    await remove("plugin_configs", id, outs, cluster);
    equal(await client.get("plugin_configs", id), undefined);
  });

  it("refuses another cluster", async () => {
    const elsewhere = { ...common.admin, cluster: "another" };
    const refusal = `This is cluster ${clusterUid}, not another.`;
    same((await check("ssls", ssl({ admin: elsewhere }), cluster)).failures, [{ property: "admin", reason: refusal }]);
    await rejects(create("upstreams", upstream({ admin: elsewhere }), cluster), { message: refusal });
  });
});

/** The server gets the request and acts; the connection breaks when its response arrives. */
function loseAnswerTo(method: string, socket: TLSSocket, done: () => void): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  socket.write = (chunk: unknown, ...rest: unknown[]) => {
    if (String(chunk).startsWith(method)) {
      socket.push = () => {
        done();
        socket.destroy();
        return false;
      };
    }
    return write(chunk, ...rest);
  };
}
