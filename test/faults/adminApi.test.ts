// Faults between the provider and the Admin API. After each, the operation itself or the next `pulumi up` reaches the wanted state.

import { deepStrictEqual as same, match, ok, rejects, strictEqual as equal } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import type { Body } from "../../apisix-admin/body.ts";
import type { Props } from "../../apisix-admin/checks.ts";
import type { AdminClient } from "../../apisix-admin/client.ts";
import type { KindName } from "../../apisix-admin/kinds/registry.ts";
import { ownershipOf } from "../../apisix-admin/ownership.ts";
import { adminClient, closeSessions } from "../../apisix-admin/session.ts";
import type { KeyPair } from "../../cluster-access/certificates.ts";
import { Transient } from "../../cluster-access/errors.ts";
import type { AdminEndpoint } from "../../vocabulary/endpoints.ts";
import type { PodPort } from "../../vocabulary/references.ts";
import { MemoryCluster, startApisix, type Started } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";
import { type Fault, FaultyProxy } from "../support/faultyProxy.ts";
import { Engine } from "./engine.ts";

const owner = "mtls/dev/hello";

/** A cluster whose pods are replaced: each is a port, or nothing is ready. */
class Pods extends MemoryCluster {
  pods: number[] = [];
  timeLimits: { changing?: object; reading?: object } = {};

  override async connect(to: PodPort, client: { ca: string; pair?: KeyPair }) {
    const [port] = this.pods;
    if (port === undefined)
      throw new Transient(`No ready pod matches ${to.selector} in namespace ${to.namespace} (0 found)`);
    return super.connect({ ...to, port }, client);
  }
}

describe("faults between the provider and the Admin API", function () {
  this.timeout(60_000);
  const cluster = new Pods();
  const beside = new MemoryCluster();
  let admin: Authority;
  let apisix: Started<AdminEndpoint>;
  let proxy: FaultyProxy;
  /** Looks at the server without the proxy. */
  let client: AdminClient;

  const startProxy = async () =>
    FaultyProxy.start({
      ...{ port: apisix.endpoint.port, serverName: apisix.endpoint.serverName, root: admin.root },
      server: await admin.leaf({ dnsNames: [apisix.endpoint.serverName], usages: ["server auth"] }),
      client: await admin.leaf({ subject: "CN=proxy", usages: ["client auth"] }),
    });

  before(async function () {
    admin = await Authority.create("admin");
    apisix = await startApisix(beside, admin, () => this.skip());
    for (const [name, entries] of beside.secrets) cluster.secrets.set(name, entries);
    for (const [name, entries] of beside.configMaps) cluster.configMaps.set(name, entries);
    client = await adminClient(beside, apisix.endpoint);
    const edge = await Authority.create("edge");
    cluster.leaf("site", await edge.leaf({ dnsNames: ["site.example"], usages: ["server auth"] }));
    cluster.trust("edge", edge.root);
  });

  const { log } = console;

  beforeEach(async () => {
    console.log = () => {}; // Other tests cover the diffs' sentences.
    proxy = await startProxy();
    cluster.pods = [proxy.port];
    cluster.timeLimits = {};
  });

  afterEach(async () => {
    console.log = log;
    await closeSessions(cluster);
    await proxy.stop();
    for (const kind of ["routes", "upstreams", "ssls"] as const) {
      for (const { id } of await client.list(kind)) await client.delete(kind, String(id));
    }
  });

  after(async () => {
    await closeSessions(beside);
    await apisix?.stop();
  });

  const inputs: { readonly [kind in "upstreams" | "ssls"]: (change?: object) => Props } = {
    upstreams: (change = {}) => ({
      ...{ admin: apisix.endpoint, owner, objectId: "hello", serverName: "hello.example" },
      nodes: [{ host: "127.0.0.1", port: 8443 }],
      ...change,
    }),
    ssls: (change = {}) => ({
      ...{ admin: apisix.endpoint, owner, objectId: "hello", use: "server", snis: ["site.example"] },
      certificate: { namespace: "mtls", name: "site" },
      clients: { trust: { namespace: "mtls", name: "edge", key: "ca.crt" } },
      ...change,
    }),
  };
  const changed = { upstreams: { balancer: "ewma" }, ssls: { protocols: ["TLSv1.3"] } };

  /** Exactly one object, ours, and the state equal to it. */
  async function converged(kind: KindName, engine: Engine, wanted: Props): Promise<void> {
    const listed = await client.list(kind);
    same(
      listed.map((object) => [object["id"], ownershipOf(object).owner]),
      [["hello", owner]],
    );
    const before = engine.state;
    equal(before?.begun, false);
    equal(before.props["instance"], ownershipOf(listed[0] as Body).instance);
    equal(await engine.preview(wanted), "same");
    await engine.refresh();
    same(engine.state, before);
  }

  /** The methods whose faults matter, for each of the engine's operations. */
  const passing: readonly (readonly [string, (on: RegExp) => Fault])[] = [
    ["a reset partway through the request", (on) => ({ on, cutAfter: 60 })],
    ["a lost response", (on) => ({ on, loseAnswer: true })],
    ["two lost responses in a row", (on) => ({ on, loseAnswer: true, times: 2 })],
    ["503 for a while", (on) => ({ on, for: 300, answer: { status: 503, body: noEtcd } })],
    ["a slow server", (on) => ({ on, delay: 300 })],
    ["a connection that has gone silent", (on) => ({ on, silence: true })],
  ];
  const noEtcd = { error_msg: "has no healthy etcd endpoint available" };

  for (const kind of ["upstreams", "ssls"] as const) {
    describe(`pass by themselves: ${kind}`, () => {
      beforeEach(() => (cluster.timeLimits = { changing: { perAttempt: 1_000 }, reading: { perAttempt: 1_000 } }));

      // A certificate's body is long, so cutting or repeating it is worth a separate test.
      for (const [what, fault] of kind === "ssls" ? passing.slice(0, 2) : passing) {
        it(`${what}, at create, update, refresh and delete`, async () => {
          const engine = new Engine(kind, cluster);
          const wanted = inputs[kind](changed[kind]);

          proxy.inject(fault(/^PUT/));
          equal(await engine.up(inputs[kind]()), "create");
          await converged(kind, engine, inputs[kind]());

          proxy.inject(fault(/^PUT/));
          equal(await engine.up(wanted), "update");
          await converged(kind, engine, wanted);

          proxy.inject(fault(/^GET/));
          await engine.refresh();
          await converged(kind, engine, wanted);

          proxy.inject(fault(/^DELETE/));
          await engine.destroy();
          same(await client.list(kind), []);
          ok(proxy.happened >= 4, `${proxy.happened} faults happened`);
        });
      }
    });
  }

  it("503 for five seconds, at create", async () => {
    const engine = new Engine("upstreams", cluster);
    proxy.inject({ on: /^(GET|PUT)/, for: 5_000, answer: { status: 503, body: noEtcd } });
    equal(await engine.up(inputs.upstreams()), "create");
    ok(proxy.happened > 2);
    await converged("upstreams", engine, inputs.upstreams());
  });

  it("an upstream whose route is gone in etcd, but not yet in the server's memory, is deleted a moment later", async () => {
    const engine = new Engine("upstreams", cluster);
    await engine.up(inputs.upstreams());
    const stillUsed = { error_msg: "can not delete this upstream, route [hello] is still using it now" };
    proxy.inject({ on: /^DELETE/, for: 600, answer: { status: 400, body: stillUsed } });
    await engine.destroy();
    ok(proxy.happened > 1);
    same(await client.list("upstreams"), []);
  });

  it("a kind whose directory etcd has lost has no objects that could use a certificate", async () => {
    const engine = new Engine("ssls", cluster);
    await engine.up(inputs.ssls());
    proxy.inject({ on: /^GET \S+\/services$/, answer: { status: 404, body: { message: "Key not found" } } });
    await engine.destroy();
    equal(proxy.happened, 1);
    same(await client.list("ssls"), []);
  });

  it("TLS handshakes that are cut off", async () => {
    const engine = new Engine("upstreams", cluster);
    proxy.handshakesToCut = 3;
    equal(await engine.up(inputs.upstreams()), "create");
    equal(proxy.handshakesToCut, 0);
    await converged("upstreams", engine, inputs.upstreams());
  });

  it("a pod that moves: connections cut off, then refused, then no pod, then another one", async () => {
    const engine = new Engine("upstreams", cluster);
    await engine.up(inputs.upstreams());
    await proxy.stop();
    const wanted = inputs.upstreams(changed.upstreams);
    const moved = engine.up(wanted);
    await sleep(400);
    cluster.pods = [];
    await sleep(400);
    proxy = await startProxy();
    cluster.pods = [proxy.port];
    equal(await moved, "update");
    await converged("upstreams", engine, wanted);
  });

  const endless = { times: Infinity };

  describe("that outlast the deadline", () => {
    beforeEach(
      () => (cluster.timeLimits = { changing: { deadline: 2_000 }, reading: { deadline: 2_000, unanswered: 2_000 } }),
    );

    const advice =
      "When the pods are ready (kubectl -n mtls get pods), run the same command again: it resumes from here.";
    const lasting: readonly (readonly [string, Fault, RegExp])[] = [
      [
        "requests cut",
        { on: /^PUT/, cutAfter: 60, ...endless },
        /the connection broke \((?:socket hang up|read ECONNRESET)\)/,
      ],
      [
        "answers lost",
        { on: /^PUT/, loseAnswer: true, ...endless },
        /the connection broke \((?:socket hang up|read ECONNRESET)\)/,
      ],
      [
        "503",
        { on: /^PUT/, answer: { status: 503, body: noEtcd }, ...endless },
        /upstreams\/hello: has no healthy etcd endpoint available \(HTTP 503\)/,
      ],
      ["answers too slow", { on: /^PUT/, delay: 4_000, ...endless }, /no answer for [\d.]+ s/],
    ];

    for (const [what, fault, failure] of lasting) {
      it(`${what}: the error says what, where and what to do, and the next up finishes the create`, async () => {
        const engine = new Engine("upstreams", cluster);
        proxy.inject(fault);
        const error = await failureOf(engine.up(inputs.upstreams()));
        const said = new RegExp(
          `^PUT upstreams/hello did not succeed within 2 s\\. The last failure: (${failure.source})\\. `,
        );
        match(error.message, said);
        equal(error.message.replace(said, ""), advice);
        equal(engine.state?.begun, true);
        equal(JSON.stringify(engine.state).includes("-----BEGIN"), false);
        proxy.heal();
        equal(await engine.up(inputs.upstreams()), "update");
        await converged("upstreams", engine, inputs.upstreams());
      });

      it(`${what}: a destroy after the failed create leaves nothing`, async () => {
        const engine = new Engine("upstreams", cluster);
        proxy.inject(fault);
        await rejects(engine.up(inputs.upstreams()));
        proxy.heal();
        await engine.destroy();
        same(await client.list("upstreams"), []);
      });

      it(`${what}: after a failed update the next up repeats it`, async () => {
        const engine = new Engine("upstreams", cluster);
        await engine.up(inputs.upstreams());
        const wanted = inputs.upstreams(changed.upstreams);
        proxy.inject(fault);
        await rejects(engine.up(wanted), Transient);
        proxy.heal();
        equal(await engine.up(wanted), "update");
        await converged("upstreams", engine, wanted);
      });
    }

    it("a delete whose responses are lost is finished by the next destroy", async () => {
      const engine = new Engine("upstreams", cluster);
      await engine.up(inputs.upstreams());
      proxy.inject({ on: /^DELETE/, loseAnswer: true, ...endless });
      await rejects(engine.destroy(), /^Error: DELETE upstreams\/hello did not succeed within 2 s\. /);
      proxy.heal();
      await engine.destroy();
      same(await client.list("upstreams"), []);
    });

    it("a server that is never reached leaves no state, and the next up creates", async () => {
      const engine = new Engine("upstreams", cluster);
      cluster.pods = [];
      const error = await failureOf(engine.up(inputs.upstreams()));
      equal(
        error.message,
        `GET upstreams/hello did not succeed within 2 s. The last failure: No ready pod matches app=apisix in namespace mtls (0 found). ${advice}`,
      );
      equal(engine.state, undefined);
      cluster.pods = [proxy.port];
      equal(await engine.up(inputs.upstreams()), "create");
      await converged("upstreams", engine, inputs.upstreams());
    });

    it("handshakes that are always cut off are reported", async () => {
      proxy.handshakesToCut = Infinity;
      const error = await failureOf(new Engine("upstreams", cluster).up(inputs.upstreams()));
      match(
        error.message,
        /^GET upstreams\/hello did not succeed within 2 s\. The last failure: the connection broke \(.*\)\. /,
      );
    });
  });

  it("an engine killed during a create recognises its own object later", async () => {
    const engine = new Engine("ssls", cluster);
    await engine.up(inputs.ssls());
    engine.state = undefined; // The object exists, but the state file never heard of it.
    equal(await engine.up(inputs.ssls()), "create");
    await converged("ssls", engine, inputs.ssls());
  });

  it("an object that another stack made meanwhile is not taken over by a repeated create", async () => {
    cluster.timeLimits = { changing: { deadline: 2_000 } };
    const engine = new Engine("upstreams", cluster);
    proxy.inject({ on: /^PUT/, cutAfter: 60, ...endless });
    await rejects(engine.up(inputs.upstreams()));
    proxy.heal();
    const foreign = {
      type: "roundrobin",
      nodes: { "127.0.0.1:1": 1 },
      labels: { "mtls-everywhere.owner": "shop/prod/y" },
    };
    await client.put("upstreams", "hello", foreign);
    await rejects(engine.up(inputs.upstreams()), {
      message:
        "upstreams/hello already exists and belongs to shop/prod/y. Choose another id, or set adopt: true to take it over.",
    });
    await engine.destroy();
    equal(ownershipOf((await client.get("upstreams", "hello"))!).owner, "shop/prod/y");
  });

  it("a resource that was renamed keeps its object", async () => {
    const engine = new Engine("upstreams", cluster);
    await engine.up(inputs.upstreams({ owner: "mtls/dev/old-name" }));
    equal(await engine.up(inputs.upstreams()), "update");
    await converged("upstreams", engine, inputs.upstreams());
  });

  describe("during a preview", () => {
    beforeEach(() => (cluster.timeLimits = { reading: { unanswered: 1_000, deadline: 15_000 } }));

    it("an unreachable server is reported soon", async () => {
      const engine = new Engine("upstreams", cluster);
      await engine.up(inputs.upstreams());
      cluster.pods = [];
      await closeSessions(cluster);
      const start = Date.now();
      const error = await failureOf(engine.preview(inputs.upstreams()));
      ok(Date.now() - start < 10_000);
      match(error.message, /^GET upstreams\/hello did not succeed within 1 s\. The last failure: No ready pod matches/);
    });

    it("a server that answers 503 gets more time", async () => {
      const engine = new Engine("upstreams", cluster);
      await engine.up(inputs.upstreams());
      proxy.inject({ on: /^GET/, for: 1_500, answer: { status: 503, body: noEtcd } });
      equal(await engine.preview(inputs.upstreams()), "same");
      ok(proxy.happened > 1);
    });
  });
});

async function failureOf(operation: Promise<unknown>): Promise<Error> {
  try {
    await operation;
  } catch (error) {
    return error as Error;
  }
  throw new Error("It succeeded.");
}
