// etcd's users against a real etcd over mutual TLS, and the steps to them compared as a whole.

import { deepStrictEqual as same, rejects, strictEqual as equal } from "node:assert/strict";

import { connectTo } from "../../cluster-access/access.ts";
import { Transport } from "../../cluster-access/transport.ts";
import { authSteps, permissionOn } from "../../dynamic-resources/etcd.ts";
import { check, create, diff, read, remove, update } from "../../dynamic-resources/resources.ts";
import type { EtcdEndpoint } from "../../vocabulary/endpoints.ts";
import { MemoryCluster, type Started, startEtcd } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("the steps to etcd's users", () => {
  const apisix = { name: "apisix", prefix: "/apisix" };
  const nothing = { enabled: false, users: {}, roles: {}, refused: [] };

  it("from an empty etcd: root first, enabled last", () => {
    same(authSteps([apisix], [], nothing), [
      { path: "user/add", body: { name: "root" }, passwordOf: "root", mends: "user root is missing" },
      { path: "user/grant", body: { user: "root", role: "root" }, mends: "user root lacks role root" },
      { path: "role/add", body: { name: "apisix" }, mends: "role apisix is missing" },
      {
        path: "role/grant",
        body: { name: "apisix", perm: { permType: "READWRITE", key: base64("/apisix"), range_end: base64("/apisiy") } },
        mends: "role apisix may not read and write /apisix",
      },
      { path: "user/add", body: { name: "apisix" }, passwordOf: "apisix", mends: "user apisix is missing" },
      { path: "user/grant", body: { user: "apisix", role: "apisix" }, mends: "user apisix lacks role apisix" },
      { path: "enable", body: {}, mends: "authentication is not enabled" },
    ]);
  });

  it("from drift: remove excess rights, and users who left the list", () => {
    const live = {
      enabled: true,
      users: { root: ["root"], apisix: ["apisix", "root"], old: ["old"] },
      roles: { apisix: [permissionOn("/apisix"), permissionOn("/")], old: [permissionOn("/old")] },
      refused: ["apisix"],
    };
    same(authSteps([apisix], ["old", "never"], live), [
      {
        path: "role/revoke",
        body: { role: "apisix", key: base64("/"), range_end: base64("0") },
        mends: "role apisix should not reach /",
      },
      {
        path: "user/changepw",
        body: { name: "apisix" },
        passwordOf: "apisix",
        mends: "user apisix may have another password",
      },
      { path: "user/revoke", body: { name: "apisix", role: "root" }, mends: "user apisix should not have role root" },
      { path: "user/delete", body: { name: "old" }, mends: "user old should not exist" },
      { path: "role/delete", body: { role: "old" }, mends: "role old should not exist" },
    ]);
  });
});

describe("the life cycle of etcd's users", () => {
  const cluster = new MemoryCluster();
  let authority: Authority;
  let etcd: Started<EtcdEndpoint>;
  let transport: Transport;

  const inputs = (users: readonly object[]) => ({
    etcd: etcd.endpoint,
    root: cluster.secret("root", "password", "r00t"),
    users,
  });
  const user = (name: string, password: string, prefix = `/${name}`) => ({
    name,
    password: cluster.secret(name, "password", password),
    prefix,
  });
  const wanted = () => inputs([user("apisix", "secret-1")]);
  const call = async (path: string, body: object, token?: string) => {
    const headers = { host: "etcd", ...(token && { authorization: token }) };
    const { text } = await transport.send({ path: `/v3/${path}`, headers, body }, AbortSignal.timeout(5_000));
    return JSON.parse(text) as { token?: string; message?: string; kvs?: { value: string }[] };
  };
  const signIn = async (name: string, password: string) => (await call("auth/authenticate", { name, password })).token;
  const quietly = async <T>(act: () => Promise<T>): Promise<T> => {
    const log = console.log;
    console.log = () => {};
    return act().finally(() => (console.log = log));
  };

  beforeEach(async function () {
    authority = await Authority.create("etcd");
    etcd = await startEtcd(cluster, authority, () => this.skip());
    transport = new Transport(connectTo(cluster, etcd.endpoint), 1);
  });

  afterEach(async () => {
    transport?.close();
    await etcd?.stop();
  });

  it("enables auth and confines the user to its prefix", async () => {
    const { outs } = await create("etcdAuth", wanted(), cluster);
    same(outs["live"], {
      enabled: true,
      users: { root: ["root"], apisix: ["apisix"] },
      roles: { apisix: ["READWRITE /apisix"] },
    });
    equal(JSON.stringify(outs).includes("secret-1"), false);
    const token = await signIn("apisix", "secret-1");
    await call("kv/put", { key: base64("/apisix/routes/1"), value: base64("x") }, token);
    equal((await call("kv/range", { key: base64("/apisix/routes/1") }, token)).kvs?.[0]?.value, base64("x"));
    equal(
      (await call("kv/put", { key: base64("/other"), value: base64("x") }, token)).message,
      "etcdserver: permission denied",
    );
    equal((await call("kv/range", { key: base64("/apisix/routes/1") })).message, "etcdserver: permission denied");
  });

  it("sees no change, can be created again, and survives deletion", async () => {
    const { id, outs } = await create("etcdAuth", wanted(), cluster);
    same(await diff("etcdAuth", id, outs, wanted(), cluster), { changes: false, deleteBeforeReplace: true });
    same(await create("etcdAuth", wanted(), cluster), { id, outs });
    same(await read("etcdAuth", id, outs, cluster), { id, props: outs });
    await remove("etcdAuth", id, outs, cluster);
    equal((await call("auth/status", {})).message, "etcdserver: user name is empty");
  });

  it("treats a Secret that the same update will create as a change", async () => {
    const { id, outs } = await create("etcdAuth", wanted(), cluster);
    const next = { ...wanted(), root: { namespace: "mtls", name: "next", key: "password" } };
    equal((await quietly(() => diff("etcdAuth", id, outs, next, cluster))).changes, true);
  });

  it("finishes what was begun", async () => {
    await call("auth/user/add", { name: "root", password: "forgotten" });
    await call("auth/role/add", { name: "apisix" });
    const { outs } = await create("etcdAuth", wanted(), cluster);
    equal((outs["live"] as { enabled: boolean }).enabled, true);
    equal(typeof (await signIn("root", "r00t")), "string");
  });

  it("repairs drift and passwords, and removes users who left the list", async () => {
    const { id, outs } = await create(
      "etcdAuth",
      inputs([user("apisix", "secret-1"), user("old", "secret-2")]),
      cluster,
    );
    const root = await signIn("root", "r00t");
    await call(
      "auth/role/grant",
      { name: "apisix", perm: { permType: "READ", key: base64("/"), range_end: base64("0") } },
      root,
    );
    const news = inputs([user("apisix", "secret-3")]);
    equal((await quietly(() => diff("etcdAuth", id, outs, news, cluster))).changes, true);
    const { outs: repaired } = await update("etcdAuth", id, outs, news, cluster);
    same(repaired["live"], {
      enabled: true,
      users: { root: ["root"], apisix: ["apisix"] },
      roles: { apisix: ["READWRITE /apisix"] },
    });
    equal(typeof (await signIn("apisix", "secret-3")), "string");
    equal(await signIn("old", "secret-2"), undefined);
    equal((await diff("etcdAuth", id, repaired, news, cluster)).changes, false);
  });

  it("says what to do if root's password is different", async () => {
    await create("etcdAuth", wanted(), cluster);
    const changed = { ...wanted(), root: cluster.secret("root2", "password", "other") };
    await rejects(
      create("etcdAuth", changed, cluster),
      /etcd's root password differs from the one in the Secret that root names/,
    );
  });

  it("says that a client certificate with a common name is refused", async () => {
    await create("etcdAuth", wanted(), cluster);
    const certificate = cluster.leaf("named", await authority.leaf({ subject: "CN=named", usages: ["client auth"] }));
    await rejects(
      create("etcdAuth", { ...wanted(), etcd: { ...etcd.endpoint, certificate } }, cluster),
      /must have an empty subject/,
    );
  });

  it("refuses bad users at preview", async () => {
    const users = [
      { name: "root", prefix: "/" },
      { name: "a", prefix: "" },
      { name: "a", prefix: "/a" },
    ];
    same((await check("etcdAuth", inputs(users), cluster)).failures, [
      { property: "users[0].name", reason: 'A user needs a name other than "root".' },
      { property: "users[1].prefix", reason: "An empty prefix would grant access to every key: set one." },
      { property: "users[2].name", reason: '"a" is listed twice.' },
    ]);
  });
});
