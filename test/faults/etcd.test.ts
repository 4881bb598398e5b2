// Faults between the provider and etcd while users are created: a step whose response was lost is not refused when repeated.

import { deepStrictEqual as same, ok, rejects, strictEqual as equal } from "node:assert/strict";

import type { Props } from "../../apisix-admin/checks.ts";
import type { EtcdEndpoint } from "../../vocabulary/endpoints.ts";
import { MemoryCluster, type Started, startEtcd } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";
import { FaultyProxy } from "../support/faultyProxy.ts";
import { Engine } from "./engine.ts";

describe("faults between the provider and etcd", function () {
  this.timeout(30_000);
  let cluster: MemoryCluster & { timeLimits?: object };
  let etcd: Started<EtcdEndpoint>;
  let proxy: FaultyProxy;
  let inputs: Props;

  beforeEach(async function () {
    cluster = new MemoryCluster();
    const authority = await Authority.create("etcd");
    etcd = await startEtcd(cluster, authority, () => this.skip());
    proxy = await FaultyProxy.start({
      ...{ port: etcd.endpoint.port, serverName: "etcd.test", root: authority.root },
      server: await authority.leaf({ dnsNames: ["etcd.test"], usages: ["server auth"] }),
      client: await authority.leaf({ dnsNames: ["proxy.test"], usages: ["client auth"] }),
    });
    const password = (name: string) => cluster.secret(name, "password", `of-${name}`);
    inputs = {
      etcd: { ...etcd.endpoint, port: proxy.port },
      root: password("root"),
      users: [{ name: "apisix", password: password("apisix"), prefix: "/apisix" }],
    };
  });

  afterEach(async () => {
    await proxy?.stop();
    await etcd?.stop();
  });

  const wanted = {
    enabled: true,
    users: { root: ["root"], apisix: ["apisix"] },
    roles: { apisix: ["READWRITE /apisix"] },
  };

  for (const [what, fault] of [
    ["lose the response to", { loseAnswer: true }],
    ["cut off", { cutAfter: 40 }],
  ] as const) {
    it(`that ${what} every step once`, async () => {
      const engine = new Engine("etcdAuth", cluster);
      for (const step of ["user/add", "user/grant", "role/add", "role/grant", "enable"]) {
        proxy.inject({ on: new RegExp(`/v3/auth/${step}$`), ...fault });
      }
      equal(await engine.up(inputs), "create");
      equal(proxy.happened, 5);
      same(engine.state?.props["live"], wanted);
      equal(await engine.preview(inputs), "same");
    });
  }

  it("that outlast the deadline end in a sentence, and the next up continues from there", async () => {
    cluster.timeLimits = { changing: { deadline: 2_000 } };
    const engine = new Engine("etcdAuth", cluster);
    proxy.inject({ on: /role\/add/, loseAnswer: true, times: Infinity });
    await rejects(
      engine.up(inputs),
      /^Error: etcd auth\/role\/add did not succeed within 2 s\. The last failure: the connection broke \(.*\)\. When the pods are ready \(kubectl -n mtls get pods\), run the same command again: it resumes from here\.$/,
    );
    proxy.heal();
    equal(await engine.up(inputs), "create");
    ok(!proxy.requests.includes("POST /v3/auth/role/add"), "the role is recognised");
    same(engine.state?.props["live"], wanted);
  });
});
