// What is gone for good (case 1): detected at once, recreated by `up --refresh`, never deleted. What is merely not
// ready is waited for.

import { deepStrictEqual as same, ok, rejects, strictEqual as equal } from "node:assert/strict";

import type { Props } from "../../apisix-admin/checks.ts";
import { adminClient, closeSessions } from "../../apisix-admin/session.ts";
import type { Access } from "../../cluster-access/access.ts";
import { Transient } from "../../cluster-access/errors.ts";
import { create, diff, read, remove, update } from "../../dynamic-resources/resources.ts";
import { Engine } from "../faults/engine.ts";
import { MemoryCluster, startApisix, startEtcd } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";
import { logged } from "../support/logged.ts";

describe("objects of a gateway that is gone for good (case 1)", function () {
  this.timeout(30_000); // half the time that a restarting server is given
  const here: MemoryCluster & Pick<Access, "timeLimits"> = new MemoryCluster();
  const lossy: MemoryCluster[] = [];
  let apisix: Awaited<ReturnType<typeof startApisix>>;
  let wanted: Props;

  before(async function () {
    apisix = await startApisix(here, await Authority.create("admin"), () => this.skip());
    wanted = {
      admin: { ...apisix.endpoint, keptIn: { ...apisix.etcd.endpoint, services: ["etcd"] } },
      ...{ owner: "mtls/dev/hello", objectId: "hello", serverName: "hello.example" },
      nodes: [{ host: "127.0.0.1", port: 8443 }],
    };
  });

  after(async () => {
    for (const cluster of [here, ...lossy]) await closeSessions(cluster);
    await apisix?.stop();
  });

  /** The same cluster without something. */
  const without = (lose: (cluster: MemoryCluster) => void): MemoryCluster => {
    const cluster = new MemoryCluster();
    for (const [name, entries] of here.secrets) cluster.secrets.set(name, entries);
    for (const [name, entries] of here.configMaps) cluster.configMaps.set(name, entries);
    lossy.push(cluster);
    lose(cluster);
    return cluster;
  };

  const losses: readonly (readonly [string, (cluster: MemoryCluster) => void, string])[] = [
    [
      "its Deployment",
      ({ gone }) => gone.add("app=apisix"),
      "There is no Deployment or StatefulSet app=apisix in namespace mtls.",
    ],
    [
      "the Secret with its key",
      ({ secrets }) => secrets.delete("mtls/admin-key"),
      "Secret mtls/admin-key does not exist.",
    ],
    [
      "the Secret of its client's certificate",
      ({ secrets }) => secrets.delete("mtls/deployer"),
      "Secret mtls/deployer does not exist.",
    ],
    [
      "the roots of its certificate",
      ({ configMaps }) => configMaps.delete("mtls/admin-trust"),
      "ConfigMap mtls/admin-trust does not exist.",
    ],
  ];
  const storeLosses: typeof losses = [
    [
      "its store's StatefulSet",
      ({ gone }) => gone.add("app=etcd"),
      "There is no Deployment or StatefulSet app=etcd in namespace mtls.",
    ],
    ["its store's Service", ({ gone }) => gone.add("etcd"), "Service mtls/etcd does not exist."],
  ];

  /** After this loss an object counts as gone, is to be recreated, and needs no deletion; creating it fails at once. */
  async function isGone(lose: (cluster: MemoryCluster) => void, what: string, outs: Props): Promise<void> {
    const cluster = without(lose);
    same(await read("upstreams", "hello", outs, cluster), {});
    const { result, lines } = await logged(() => diff("upstreams", "hello", outs, wanted, cluster));
    same(result, { changes: true, deleteBeforeReplace: true });
    ok(lines.length === 1 && lines[0]!.startsWith(`upstreams/hello: ${what}`), lines.join());
    same(await logged(() => remove("upstreams", "hello", outs, cluster)), {
      result: undefined,
      lines: [`upstreams/hello is dropped from the state, since nothing can delete it: ${what}`],
    });
    const made = [
      () => create("upstreams", wanted, cluster),
      () => update("upstreams", "hello", outs, wanted, cluster),
    ];
    for (const make of made) {
      await rejects(make(), ({ message }: Error) => message.startsWith(what));
    }
  }

  for (const [what, lose, words] of losses) {
    it(`without ${what}`, async () => {
      const { outs } = await create("upstreams", wanted, here);
      await isGone(lose, words, outs);
      // If it still exists, it is recognised once the loss is repaired, and deleted with its resource.
      const engine = new Engine("upstreams", here);
      equal(await engine.up(wanted), "create");
      await engine.destroy();
      equal(await (await adminClient(here, apisix.endpoint)).get("upstreams", "hello"), undefined);
    });
  }

  it("not if a Secret exists without that key: the gateway has another", async () => {
    const { outs } = await create("upstreams", wanted, here);
    const cluster = without(({ secrets }) => secrets.set("mtls/admin-key", { another: "key" }));
    await rejects(remove("upstreams", "hello", outs, cluster), /Secret mtls\/admin-key has no "key"\./);
  });

  it("not while it is not ready: that is waited for, and fails in the end", async () => {
    const { outs } = await create("upstreams", wanted, here);
    const restarting = Object.assign(
      without(() => {}),
      { timeLimits: { changing: { deadline: 1_000 }, reading: { deadline: 1_000, unanswered: 1_000 } } },
    );
    restarting.onConnect = () => {
      throw new Transient("No ready pod matches app=apisix in namespace mtls (1 found).");
    };
    for (const asked of [read, remove]) {
      await rejects(
        asked("upstreams", "hello", outs, restarting),
        /did not succeed within 1 s\. The last failure: No ready pod/,
      );
    }
    await rejects(diff("upstreams", "hello", outs, wanted, restarting), /did not succeed within 1 s/);
  });

  it("without its store, or without the store's data", async () => {
    const { outs } = await create("upstreams", wanted, here);
    await apisix.etcd.kill();
    for (const [, lose, words] of storeLosses) await isGone(lose, words, outs);
    // It comes back without users, and without them the gateway is useless.
    await apisix.etcd.start();
    await apisix.kill();
    const words = "The etcd of pods app=etcd in namespace mtls has lost everything that it held, including its users.";
    await isGone(() => {}, words, outs);
  });
});

describe("the users of an etcd that is gone for good (case 1)", function () {
  this.timeout(30_000);
  const cluster = new MemoryCluster();
  let etcd: Awaited<ReturnType<typeof startEtcd>>;

  before(async function () {
    etcd = await startEtcd(cluster, await Authority.create("etcd"), () => this.skip());
  });
  after(async () => etcd?.stop());
  afterEach(() => cluster.gone.clear());

  it("are gone with its StatefulSet and with their Secrets, and recreated by the next update", async () => {
    const password = cluster.secret("apisix", "password", "secret-1");
    const root = cluster.secret("root", "password", "r00t");
    const inputs = { etcd: etcd.endpoint, root, users: [{ name: "apisix", password, prefix: "/apisix" }] };
    const engine = new Engine("etcdAuth", cluster);
    equal(await engine.up(inputs), "create");
    const { id, props } = engine.state!;
    const losses = [
      [() => cluster.gone.add("app=etcd"), "There is no Deployment or StatefulSet app=etcd in namespace mtls."],
      [() => cluster.secrets.delete("mtls/apisix"), "Secret mtls/apisix does not exist."],
      [() => cluster.secrets.delete("mtls/root"), "Secret mtls/root does not exist."],
    ] as const;
    for (const [lose, words] of losses) {
      lose();
      const { result, lines } = await logged(() => diff("etcdAuth", id, props, inputs, cluster));
      same(result, { changes: true, deleteBeforeReplace: true });
      ok(lines.length === 1 && lines[0]!.startsWith(`etcdAuth/${id}: ${words}`), lines.join());
      same(await read("etcdAuth", id, props, cluster), {});
      await rejects(create("etcdAuth", inputs, cluster), ({ message }: Error) => message.startsWith(words));
      await remove("etcdAuth", id, props, cluster);
      cluster.gone.clear();
      cluster.secret("apisix", "password", "secret-1");
      cluster.secret("root", "password", "r00t");
      equal(await new Engine("etcdAuth", cluster).up(inputs), "create");
    }
  });
});
