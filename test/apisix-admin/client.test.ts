// The Admin API client over real mutual TLS: its pool, its refusals in words, and its patience.

import { deepStrictEqual as same, match, rejects, strictEqual as equal } from "node:assert/strict";

import { AdminClient, refusalOf } from "../../apisix-admin/client.ts";
import { connectTo } from "../../cluster-access/access.ts";
import { AdminError, Transient } from "../../cluster-access/errors.ts";
import { persistently } from "../../cluster-access/transport.ts";
import type { AdminEndpoint } from "../../vocabulary/endpoints.ts";
import { adminKey, MemoryCluster, startApisix, type Started } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";

describe("the Admin API client", () => {
  const cluster = new MemoryCluster();
  const clients: AdminClient[] = [];
  let admin: Authority;
  let apisix: Started<AdminEndpoint>;

  before(async function () {
    admin = await Authority.create("admin");
    apisix = await startApisix(cluster, admin, () => this.skip());
  });

  after(async () => {
    for (const client of clients) client.close();
    await apisix?.stop();
  });

  const clientWith = (changes: Partial<AdminEndpoint> = {}, key = adminKey): AdminClient => {
    const client = new AdminClient({
      connect: connectTo(cluster, { ...apisix.endpoint, ...changes }),
      key,
      deadline: 15_000,
    });
    clients.push(client);
    return client;
  };

  it("carries on when the server closes the connection after 1,000 requests", async () => {
    const client = clientWith();
    cluster.connections = 0;
    for (let request = 0; request < 1_001; request += 1) await client.get("routes", "none");
    equal(cluster.connections, 2);
  });

  it("patches fields and keeps all others, even when many do so at once", async () => {
    const client = clientWith();
    const site = { uri: "/", upstream: { nodes: { "127.0.0.1:1": 1 } }, labels: { kept: "yes" } };
    await client.put("routes", "patched", site);
    const names = Array.from({ length: 8 }, (_, index) => `k${index}`);
    await Promise.all(names.map((name) => client.patch("routes", "patched", { labels: { [name]: "x" } })));
    const { create_time: _c, update_time: _u, ...live } = (await client.get("routes", "patched"))!;
    const labels = { kept: "yes", ...Object.fromEntries(names.map((name) => [name, "x"])) };
    same(live, { ...site, id: "patched", labels });
    await client.delete("routes", "patched");
    await rejects(client.patch("routes", "patched", { desc: "x" }), {
      name: "AdminError",
      message: "routes/patched: Key not found (HTTP 404).",
    });
  });

  it("says that the key is wrong, without the key", async () => {
    await rejects(clientWith({}, "another-key").list("routes"), {
      message:
        "routes: failed to check token: wrong apikey (HTTP 401). The Secret in admin.key does not hold the key that the gateway uses.",
    });
  });

  it("says that another plane's certificate is refused", async () => {
    const edge = await Authority.create("edge");
    const certificate = cluster.leaf("curl", await edge.leaf({ subject: "CN=curl", usages: ["client auth"] }));
    await rejects(
      clientWith({ certificate }).list("routes"),
      /routes: the Admin API refused the client certificate \(HTTP 400\)\. It comes from another authority, has expired/,
    );
  });

  it("neither talks to a server from another authority nor retries it", async () => {
    const trust = cluster.trust("elsewhere", (await Authority.create("elsewhere")).root);
    await rejects(clientWith({ trust }).list("routes"), { code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" });
  });

  it("reports the server's objections, and none to a valid body", async () => {
    const client = clientWith();
    match((await client.validate("routes", { uri: 3 }))!, /property "uri" validation failed: wrong type/);
    equal(await client.validate("routes", { uri: "/", upstream_id: "x" }), undefined);
  });

  it("gives up at the deadline and names the last failure", async () => {
    const refusing = { ...apisix.endpoint, port: 1 };
    const client = new AdminClient({ connect: connectTo(cluster, refusing), key: adminKey, deadline: 3_000 });
    await rejects(
      client.get("routes", "x"),
      /^Error: GET routes\/x did not succeed within 3 s\. The last failure: the connection was refused \(connect ECONNREFUSED/,
    );
  });
});

describe("patience", () => {
  it("retries after transient errors", async () => {
    let tries = 0;
    const result = await persistently("x", { deadline: 5_000 }, async () => {
      tries += 1;
      if (tries === 1) throw new Transient("electing");
      if (tries === 2) throw Object.assign(new Error("socket hang up"), { code: "ECONNRESET" });
      return tries;
    });
    equal(result, 3);
  });

  it("retries neither a refusal nor after being told to stop", async () => {
    let tries = 0;
    const refused = async () => {
      tries += 1;
      throw new AdminError(400, "routes/x", "no");
    };
    await rejects(persistently("x", {}, refused), AdminError);
    const stopped = async () => {
      tries += 1;
      throw new Transient("electing");
    };
    await rejects(persistently("x", { signal: AbortSignal.abort() }, stopped), /electing/);
    equal(tries, 2);
  });

  it("ends when nothing can help any more, with what is the matter", async () => {
    const lost = new Error("It is gone.");
    const answers = [undefined, lost];
    const failing = async () => {
      throw new Transient("no ready pod");
    };
    await rejects(persistently("x", { hopeless: async () => answers.shift() }, failing), lost);
    same(answers, []);
  });

  it("cuts off an attempt that hangs", async () => {
    const hang = (signal: AbortSignal) =>
      new Promise<never>((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    await rejects(persistently("GET routes", { deadline: 100 }, hang), /GET routes did not succeed within 0.1 s/);
  });

  it("tells transient refusals from permanent ones", () => {
    const answers = [
      [503, '{"error_msg":"has no healthy etcd endpoint available"}'],
      [503, '{"error_msg":"etcdserver: request is too large"}'],
      [502, "<html>"],
      [500, "<html>"],
      [400, '{"error_msg":"failed to fetch upstream info by upstream id [x]: has no healthy etcd endpoint available"}'],
      [400, '{"error_msg":"failed to fetch ssl info by ssl id [x], wrong ssl type"}'],
      [400, '{"error_msg":"invalid configuration: x"}'],
    ] as const;
    same(
      answers.map(([status, text]) => {
        const error = refusalOf({ status, text }, "routes/x");
        return `${error instanceof Transient ? "passing" : "lasting"}: ${error.message}`;
      }),
      [
        "passing: routes/x: has no healthy etcd endpoint available (HTTP 503)",
        "lasting: routes/x: etcdserver: request is too large (HTTP 503).",
        "passing: routes/x: HTTP 502",
        "lasting: routes/x: refused without a reason (HTTP 500).",
        "passing: routes/x: failed to fetch upstream info by upstream id [x]: has no healthy etcd endpoint available (HTTP 400)",
        "lasting: routes/x: failed to fetch ssl info by ssl id [x], wrong ssl type (HTTP 400).",
        "lasting: routes/x: invalid configuration: x (HTTP 400).",
      ],
    );
  });
});
