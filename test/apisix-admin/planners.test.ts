// The pure parts: bodies, objections and differences, compared as a whole.

import { deepStrictEqual as same } from "node:assert/strict";

import type { Body } from "../../apisix-admin/body.ts";
import { differences } from "../../apisix-admin/compare.ts";
import type { Kind } from "../../apisix-admin/kinds/kind.ts";
import { type KindName, kinds } from "../../apisix-admin/kinds/registry.ts";
import { refusal } from "../../apisix-admin/ownership.ts";
import { digestOf, type KeyPair } from "../../cluster-access/certificates.ts";
import { MemoryCluster } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";

const { routes, ssls, upstreams } = kinds;
const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const identity = { admin: { cluster: "uid" }, objectId: "x", owner: "mtls/dev/x" };
const owner = { "mtls-everywhere.owner": "mtls/dev/x", "mtls-everywhere.instance": "1a" };

const cluster = new MemoryCluster();
const bodyOf = (kind: Kind, spec: object): Promise<Body> => kind.wanted({ ...identity, ...spec }).body("1a", cluster);

describe("bodies", () => {
  it("of an upstream with everything given", async () => {
    const spec = {
      nodes: [
        { host: "a.example", port: 443, weight: 3 },
        { host: "b.example", port: 8443 },
      ],
      serverName: "hello.example",
      clientCertificate: "caller",
      balancer: "least_conn",
      timeout: { connect: 1, send: 2, read: 3 },
    } as const;
    same(await bodyOf(upstreams, spec), {
      labels: owner,
      type: "least_conn",
      scheme: "https",
      pass_host: "rewrite",
      upstream_host: "hello.example",
      nodes: [
        { host: "a.example", port: 443, weight: 3 },
        { host: "b.example", port: 8443, weight: 1 },
      ],
      tls: { client_cert_id: "caller" },
      timeout: { connect: 1, send: 2, read: 3 },
    });
    const { tls: _tls, ...plain } = await bodyOf(upstreams, spec);
    const { clientCertificate: _caller, ...anonymous } = spec;
    same(await bodyOf(upstreams, { ...anonymous, scheme: "grpc" }), { ...plain, scheme: "grpc" });
  });

  it("of a route, shortest and longest", async () => {
    const short = { hosts: ["a.example"], uris: ["/"], upstream: "hello" };
    same(await bodyOf(routes, short), {
      labels: owner,
      hosts: ["a.example"],
      uris: ["/"],
      upstream_id: "hello",
      priority: 0,
      status: 1,
    });
    const long = {
      ...short,
      methods: ["GET"] as const,
      priority: 5,
      plugins: { echo: { body: "x" } },
      description: "why",
      enabled: false,
    };
    same(await bodyOf(routes, long), {
      labels: owner,
      hosts: ["a.example"],
      uris: ["/"],
      methods: ["GET"],
      upstream_id: "hello",
      priority: 5,
      plugins: { echo: { body: "x" } },
      desc: "why",
      status: 0,
    });
  });

  it("of a route that refuses, and so has no upstream", async () => {
    const refusing = { hosts: ["a.example"], uris: ["/"], priority: -1, refuse: true };
    same(await bodyOf(routes, refusing), {
      labels: owner,
      hosts: ["a.example"],
      uris: ["/"],
      priority: -1,
      plugins: { "fault-injection": { abort: { http_status: 403, body: '{"error_msg":"403 Client Not Allowed"}\n' } } },
      status: 1,
    });
  });

  it("with the server's names for the further fields of routes and upstreams (case 17)", async () => {
    const route = {
      ...{ hosts: ["a.example"], uris: ["/"], upstream: "hello" },
      websocket: true,
      timeout: { connect: 1, send: 2, read: 3 },
      vars: [
        ["arg_shop", "==", "open"],
        ["OR", ["http_x", "!", "in", ["a"]], ["uri", "~~", "^/b"]],
      ],
      pluginConfig: "shared",
    };
    const { enable_websocket, timeout, vars, plugin_config_id } = await bodyOf(routes, route);
    same(
      { enable_websocket, timeout, vars, plugin_config_id },
      { enable_websocket: true, timeout: route.timeout, vars: route.vars, plugin_config_id: "shared" },
    );
    const upstream = {
      ...{ nodes: [{ host: "a.example", port: 443 }], serverName: "a.example" },
      retries: 0,
      retryTimeout: 1.5,
      healthChecks: {
        active: { type: "tcp", timeout: 1, unhealthy: { interval: 1, tcpFailures: 2 } },
        passive: { unhealthy: { httpStatuses: [500, 503], httpFailures: 3 } },
      },
      keepAlivePool: { size: 10, idleTimeout: 5, requests: 100 },
    };
    const { retries, retry_timeout, checks, keepalive_pool } = await bodyOf(upstreams, upstream);
    same(
      { retries, retry_timeout, checks, keepalive_pool },
      {
        retries: 0,
        retry_timeout: 1.5,
        checks: {
          active: { type: "tcp", timeout: 1, unhealthy: { interval: 1, tcp_failures: 2 } },
          passive: { unhealthy: { http_statuses: [500, 503], http_failures: 3 } },
        },
        keepalive_pool: { size: 10, idle_timeout: 5, requests: 100 },
      },
    );
  });

  it("of server and client certificates", async () => {
    const authority = await Authority.create("edge");
    const pair = await authority.leaf({ dnsNames: ["a.example"] });
    const certificate = cluster.leaf("site", pair);
    same(await bodyOf(ssls, { use: "client", certificate }), {
      labels: {
        ...owner,
        "mtls-everywhere.certificate": digestOf(pair.cert),
        "mtls-everywhere.secret": "mtls/site",
      },
      type: "client",
      cert: pair.cert,
      key: pair.key,
    });
    const server = {
      use: "server",
      certificate,
      snis: ["a.example"],
      clients: { trust: cluster.trust("edge", authority.root), depth: 2 },
      protocols: ["TLSv1.3"],
    } as const;
    same(await bodyOf(ssls, server), {
      labels: {
        ...owner,
        "mtls-everywhere.certificate": digestOf(pair.cert),
        "mtls-everywhere.client-trust": digestOf(authority.root),
        "mtls-everywhere.secret": "mtls/site",
      },
      type: "server",
      cert: pair.cert,
      key: pair.key,
      snis: ["a.example"],
      client: { ca: authority.root, depth: 2 },
      ssl_protocols: ["TLSv1.3"],
    });
  });
});

describe("objections to inputs", () => {
  const upstream = { ...identity, nodes: [{ host: "a", port: 1 }], serverName: "a.example" };
  const ssl = { ...identity, certificate: {}, use: "server", snis: ["a"], clients: "anyone" };
  const route = { ...identity, hosts: ["a.example"], uris: ["/"], upstream: "x" };
  const said = (kind: KindName, inputs: object) =>
    kinds[kind].objections({ ...inputs }).map(({ property, reason }) => `${property}: ${reason}`);

  it("are none for good inputs, known or not", () => {
    same(said("upstreams", upstream), []);
    same(
      said("upstreams", {
        ...upstream,
        nodes: unknown,
        serverName: unknown,
        admin: unknown,
        balancer: unknown,
        timeout: unknown,
      }),
      [],
    );
    same(said("upstreams", { ...upstream, nodes: [unknown, { host: unknown, port: unknown, weight: unknown }] }), []);
    same(said("ssls", ssl), []);
    same(said("ssls", { ...ssl, clients: { trust: unknown, depth: unknown }, snis: [unknown], use: unknown }), []);
    same(said("ssls", { ...ssl, use: "client", snis: undefined, clients: undefined }), []);
    same(said("routes", route), []);
    same(said("routes", { ...route, hosts: [unknown], uris: unknown, upstream: unknown, methods: [unknown] }), []);
  });

  it("are none for good inputs with any part unknown", () => {
    const whole: readonly (readonly [KindName, object])[] = [
      ["upstreams", { ...upstream, timeout: { connect: 1, send: 1, read: 1 }, scheme: "http", balancer: "ewma" }],
      [
        "upstreams",
        { ...upstream, healthChecks: { active: { httpPath: "/" } }, keepAlivePool: { size: 1 }, retries: 1 },
      ],
      ["routes", { ...route, vars: [["arg_a", "!", "==", "1"]], websocket: true, pluginConfig: "p" }],
      ["ssls", { ...ssl, clients: { trust: { namespace: "n", name: "t", key: "k" }, depth: 1 } }],
      ["ssls", { ...identity, certificate: { namespace: "n", name: "c" }, use: "client", protocols: ["TLSv1.3"] }],
      ["routes", { ...route, upstream: undefined, refuse: true }],
      ["routes", { ...route, methods: ["GET"], priority: 1, plugins: { echo: { body: "x" } }, description: "d" }],
    ];
    for (const [kind, inputs] of whole) {
      for (const partly of withUnknowns(inputs).slice(1))
        same(said(kind, partly as object), [], JSON.stringify(partly));
    }
  });

  it("to an upstream", () => {
    const bad = {
      ...upstream,
      objectId: "a b",
      owner: "o".repeat(257),
      serverName: "https://a",
      nodes: [{ host: "a/b", port: 0, weight: -1 }, {}, { host: "::1", port: 1 }, { host: "a:443", port: 443 }],
      balancer: "random",
      scheme: "http",
      timeout: { connect: 1 },
      clientCertificate: "caller",
    };
    same(said("upstreams", bad), [
      'id: "a b" is not a valid id: use at most 64 letters, digits, "-", "_" and ".". Set id when the resource\'s name is not valid.',
      "id: Project, stack and name together exceed the 256 characters of a label.",
      'serverName: "https://a" is not a host name: give the name alone, without scheme, port or path.',
      'nodes[0].host: "a/b" is not a host name or address: give it alone, without scheme, port or path.',
      "nodes[0].port: A port must be from 1 to 65535, not 0.",
      "nodes[0].weight: A weight must be a whole number of at least 0, not -1.",
      "nodes[1].host: A node needs a host: its name or address.",
      "nodes[1].port: A node needs the port that its server listens on.",
      "nodes[2].host: Write an IPv6 address in brackets: [::1].",
      'nodes[3].host: "a:443" is not a host name or address: give it alone, without scheme, port or path.',
      'balancer: "random" is not a valid value: use one of roundrobin, least_conn, ewma.',
      "timeout: Give connect, send and read in seconds, each above 0.",
      "clientCertificate: A client certificate needs TLS: use the scheme https.",
    ]);
    const more = {
      retries: -1,
      retryTimeout: -1,
      healthChecks: { active: { type: "udp", intervall: 1, unhealthy: { tcpFailures: 255 } }, passive: 1 },
      keepAlivePool: { size: 0, idleTimeout: "1s" },
    };
    same(said("upstreams", { ...upstream, ...more }), [
      "retries: This must be a whole number of at least 0, not -1.",
      "retryTimeout: Give seconds as a number of at least 0, not -1.",
      'healthChecks.active.type: "udp" is not a valid value: use one of http, https, tcp.',
      "healthChecks.active.unhealthy.tcpFailures: This must be a whole number from 0 to 254, not 255.",
      'healthChecks.active: "intervall" is not a known field: use type, timeout, concurrency, host, port, httpMethod, httpPath, reqHeaders, httpsVerifyCertificate, healthy, unhealthy.',
      "healthChecks.passive: This must be an object with type, healthy, unhealthy.",
      "keepAlivePool.size: This must be a whole number of at least 1, not 0.",
      'keepAlivePool.idleTimeout: Give seconds as a number of at least 0, not "1s".',
    ]);
    same(said("upstreams", { ...upstream, nodes: [], serverName: "" }), [
      "serverName: Name the server as its certificate does: it is what the gateway verifies.",
      "nodes: An upstream without nodes answers every request with 503: give at least one.",
    ]);
  });

  it("to a certificate", () => {
    same(
      said("ssls", {
        ...ssl,
        certificate: undefined,
        snis: [],
        clients: { trust: {}, depth: -1 },
        protocols: ["TLSv1.1"],
      }),
      [
        "certificate: Name the Secret that holds the certificate.",
        'protocols[0]: "TLSv1.1" is not a valid value: use one of TLSv1.2, TLSv1.3.',
        "snis: Name the hosts that this certificate serves.",
        "clients.depth: A depth must be a whole number of at least 0, not -1.",
      ],
    );
    same(said("ssls", { ...ssl, use: "both" }), ['use: "both" is not a valid value: use one of server, client.']);
    same(said("ssls", { ...ssl, clients: { depth: 2 } }), ['clients.trust: Give { trust }, or "anyone".']);
    same(said("ssls", { ...ssl, clients: undefined }), [
      'clients: Say whose client certificates are accepted with { trust }, or "anyone" to ask for none.',
    ]);
    same(said("ssls", { ...ssl, use: "client" }), [
      'snis: Only a certificate with use: "server" takes this: drop it.',
      'clients: Only a certificate with use: "server" takes this: drop it.',
    ]);
  });

  it("to a route", () => {
    const bad = {
      ...route,
      hosts: ["*"],
      uris: ["x"],
      methods: ["FETCH"],
      upstream: undefined,
      priority: 1.5,
      plugins: { echo: 5 },
      description: "x".repeat(257),
    };
    same(said("routes", bad), [
      'hosts[0]: "*" is not a host name; a wildcard is "*." and a domain.',
      'uris[0]: A path must start with "/", unlike "x".',
      'methods[0]: "FETCH" is not a valid value: use one of GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS, CONNECT, TRACE, PURGE.',
      "priority: A priority must be a whole number, not 1.5.",
      "plugins.echo: A plugin's configuration must be an object; {} for none.",
      "description: At most 256 characters.",
      "upstream: Pass the id of the upstream that requests go to.",
    ]);
    const conditions = (vars: unknown) => said("routes", { ...route, vars });
    const shape = 'A condition must be a list of variable, operator and value, such as ["arg_name", "==", "value"].';
    same(conditions([["arg_a", "=", "1"]]), [
      'vars[0]: "=" is not an operator: use one of ==, ~=, >, >=, <, <=, ~~, ~*, in, has, ipmatch, or "!" and one of them.',
    ]);
    same(conditions([["arg_a", "1"], ["OR", ["arg_a", "==", "1"]], "x"]), [
      `vars[0]: ${shape}`,
      `vars[1]: ${shape}`,
      `vars[2]: ${shape}`,
    ]);
    same(conditions("x"), ["vars: Conditions must be a list of lists."]);
    same(conditions([]), ["vars: Give at least one condition, or leave vars out."]);
    same(said("routes", { ...route, hosts: [] }), [
      "hosts: Name the hosts: without them the route could be reached under another host's client policy.",
    ]);
  });
});

describe("differences", () => {
  let pair: KeyPair;
  let root: string;
  let route: Body;
  let ssl: Body;

  before(async () => {
    const authority = await Authority.create("edge");
    pair = await authority.leaf({ dnsNames: ["a.example"] });
    root = authority.root;
    route = await bodyOf(routes, {
      ...{ hosts: ["a.example"], uris: ["/"], upstream: "hello" },
      plugins: { "key-auth": { key: "s3cret", hide: {} } },
    });
    ssl = await bodyOf(ssls, {
      use: "server",
      certificate: cluster.leaf("site", pair),
      snis: ["a.example"],
      clients: { trust: cluster.trust("edge", root) },
    });
  });

  const between = (kind: Kind, desired: Body, live: Body) =>
    differences(kind.comparable(desired), kind.comparable(live));

  it("ignore what the server fills in or does not return", () => {
    same(
      between(routes, route, {
        ...route,
        id: "x",
        create_time: 1,
        update_time: 2,
        plugins: { "key-auth": { key: "s3cret", hide: [] } },
      }),
      [],
    );
    const { priority: _, status: __, ...silent } = route;
    same(between(routes, route, silent), []);
    const { key: _key, type: _type, ...returned } = ssl;
    const spaced = { ...returned, cert: `\n${pair.cert}\n`, client: { ca: root }, id: "x", status: 1 };
    same(between(ssls, ssl, spaced), []);
  });

  it("are sentences, without the plugins' values", () => {
    const live: Body = {
      ...route,
      labels: { ...(route["labels"] as Body), team: "shop" },
      hosts: ["b.example"],
      upstream_id: undefined,
      status: 0,
      plugins: { "key-auth": { key: "0ther", hide: {} }, echo: { body: "x" } },
    };
    same(between(routes, route, live), [
      'hosts is ["b.example"], wanted ["a.example"]',
      'labels.team is "shop", not wanted',
      "plugins.echo is not as wanted",
      "plugins.key-auth.key is not as wanted",
      "status is 0, wanted 1",
      'upstream_id is missing, wanted "hello"',
    ]);
  });

  it("name certificates by digest, and nothing presentable holds keys or plugin values", () => {
    same(between(ssls, ssl, { ...ssl, cert: root }), [
      `cert is "sha256:${digestOf(root)}", wanted "sha256:${digestOf(pair.cert)}"`,
    ]);
    same(ssls.presentable({ ...ssl, create_time: 1 }), {
      labels: ssl["labels"],
      type: "server",
      snis: ["a.example"],
      cert: `sha256:${digestOf(pair.cert)}`,
      client: { ca: `sha256:${digestOf(root)}`, depth: 1 },
    });
    same(routes.presentable(route)["plugins"], ["key-auth"]);
    same(upstreams.presentable({ tls: { client_cert: "x", client_key: "secret" } }), { tls: { client_cert: "x" } });
  });

  it("between an object from 0.1.0 and this release are just the Secret's label: an update in place", () => {
    const { "mtls-everywhere.secret": _, ...labels } = ssl["labels"] as Body;
    same(between(ssls, ssl, { ...ssl, labels }), ['labels.mtls-everywhere.secret is missing, wanted "mtls/site"']);
  });
});

describe("ownership", () => {
  it("allows writing its own object, and others' only if adopted", () => {
    same(
      [undefined, { owner: "mtls/dev/x" }, {}, { owner: "shop/prod/y" }].map((live) => [
        refusal("routes/x", live, ["mtls/dev/x"]),
        refusal("routes/x", live, ["mtls/dev/x"], true),
      ]),
      [
        [undefined, undefined],
        [undefined, undefined],
        [
          "routes/x already exists and was created by hand or by another tool. Choose another id, or set adopt: true to take it over.",
          undefined,
        ],
        [
          "routes/x already exists and belongs to shop/prod/y. Choose another id, or set adopt: true to take it over.",
          undefined,
        ],
      ],
    );
  });
});

/** The value with each of its parts unknown in turn, at every depth. */
function withUnknowns(value: unknown): unknown[] {
  if (typeof value !== "object" || value === null) return [unknown];
  const parts = Object.entries(value).flatMap(([name, part]) =>
    withUnknowns(part).map((other) =>
      Array.isArray(value) ? value.with(Number(name), other) : { ...value, [name]: other },
    ),
  );
  return [unknown, ...parts];
}
