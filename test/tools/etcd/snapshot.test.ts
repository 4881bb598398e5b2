// A snapshot of what APISIX keeps in etcd, and its restoration (case 8), against a real etcd.

import { deepStrictEqual as same, equal, match, rejects } from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { read, restoration, restore, type Snapshot, take, write } from "../../../tools/etcd/snapshot.ts";
import { EtcdMembers } from "../../support/etcdMembers.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const entry = (key: string, value: string) => ({ key: base64(key), value: base64(value) });

describe("a restoration (case 8)", () => {
  it("writes routes last, deletes them first, and leaves unchanged keys alone", () => {
    const live = [entry("/apisix/upstreams/new", "u"), entry("/apisix/routes/new", "r"), entry("/apisix/ssls/a", "s")];
    const then = [entry("/apisix/routes/old", "r"), entry("/apisix/ssls/a", "s"), entry("/apisix/upstreams/old", "u")];
    same(restoration(live, then), {
      puts: [entry("/apisix/upstreams/old", "u"), entry("/apisix/routes/old", "r")],
      deletes: [base64("/apisix/routes/new"), base64("/apisix/upstreams/new")],
      same: 1,
    });
  });
});

describe("a snapshot of etcd's keys (case 8)", function () {
  this.timeout(60_000);
  const { signal } = new AbortController();
  const where = { cluster: "uid", prefix: "/apisix" };
  const folder = mkdtempSync(join(tmpdir(), "snapshot-"));
  let etcd: EtcdMembers;
  let call: Awaited<ReturnType<EtcdMembers["session"]>>["call"];
  const put = (key: string, value: string, more: object = {}) =>
    call("kv/put", { ...entry(key, value), ...more }, { signal });

  before(async function () {
    etcd = await EtcdMembers.start(() => this.skip());
    ({ call } = await etcd.session("apisix"));
  });
  after(async () => {
    await etcd?.stop();
    rmSync(folder, { recursive: true });
  });

  it("restores each key and value, of any size and number, and deletes what was added later", async () => {
    const large = "x".repeat(900_000);
    for (const name of ["a", "b", "c"]) await put(`/apisix/ssls/${name}`, `${name}${large}`);
    for (let count = 0; count < 230; count += 1) await put(`/apisix/routes/${count}`, `{ "uri": "/${count}" }`);
    await put("/apisix/routes/", "");
    const { ID } = await call<{ ID: string }>("lease/grant", { TTL: 600 }, { signal });
    await put("/apisix/data_plane/server_info/a", "lives", { lease: ID });
    const taken = await take(call, where, signal);
    equal(taken.keys.length, 234);
    const file = join(folder, "snapshot.json");
    await write(file, taken);
    equal(statSync(file).mode & 0o777, 0o600);

    await put("/apisix/routes/1", "changed");
    await put("/apisix/routes/new", "new");
    await call("kv/deleterange", { key: base64("/apisix/ssls/a"), range_end: base64("/apisix/ssls/d") }, { signal });
    const stored = await read(file, "/apisix");
    const planned = restoration((await take(call, where, signal)).keys, stored.keys);
    same([planned.puts.length, planned.deletes.length, planned.same], [4, 1, 230]);
    await restore(call, planned, signal);
    same((await take(call, where, signal)).keys, taken.keys);
    const server = await call<{ count: string }>(
      "kv/range",
      { key: base64("/apisix/data_plane/server_info/a") },
      { signal },
    );
    equal(server.count, "1");
  });

  it("is written only to a new file, and read only if complete", async () => {
    const file = join(folder, "there");
    writeFileSync(file, "{}");
    const empty: Snapshot = { format: "mtls-everywhere/etcd-keys/1", ...where, revision: "1", keys: [] };
    await rejects(write(file, empty), /EEXIST/);
    await rejects(read(file, "/apisix"), (error: Error) => {
      match(error.message, /there is not a snapshot taken by tools\/etcd, or is incomplete\. Nothing was changed\.$/);
      return true;
    });
  });
});
