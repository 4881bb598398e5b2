// The pure parts: bodies, objections and differences, by whole results.

import { deepStrictEqual as same } from "node:assert/strict";

import { objections } from "../../apisix-admin/checks.ts";
import {
  differences,
  digestOf,
  presentable,
  refusal,
  renewedLeaf,
  routeBody,
  sslBody,
  upstreamBody,
} from "../../apisix-admin/index.ts";
import type { Body, KeyPair } from "../../apisix-admin/index.ts";
import { Authority } from "../support/authorities.ts";

const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const secret = { namespace: "mtls", name: "site" };
const ownership = { owner: "mtls/dev/x", instance: "1a" };
const owner = { "mtls-everywhere.owner": "mtls/dev/x", "mtls-everywhere.instance": "1a" };

describe("bodies", () => {
  it("of an upstream with everything given", () => {
    const spec = {
      nodes: [
        { host: "a.example", port: 443, weight: 3 },
        { host: "b.example", port: 8443 },
      ],
      serverName: "hello.example",
      clientCertificate: "caller",
      scheme: "grpc",
      balancer: "least_conn",
      timeout: { connect: 1, send: 2, read: 3 },
    } as const;
    same(upstreamBody(spec, ownership), {
      labels: owner,
      type: "least_conn",
      scheme: "grpc",
      pass_host: "rewrite",
      upstream_host: "hello.example",
      nodes: [
        { host: "a.example", port: 443, weight: 3 },
        { host: "b.example", port: 8443, weight: 1 },
      ],
      tls: { client_cert_id: "caller" },
      timeout: { connect: 1, send: 2, read: 3 },
    });
  });

  it("of a route, shortest and longest", () => {
    const short = { hosts: ["a.example"], uris: ["/"], upstream: "hello" };
    same(routeBody(short, ownership), {
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
    same(routeBody(long, ownership), {
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

  it("of certificates for either side", async () => {
    const authority = await Authority.create("edge");
    const pair = await authority.leaf({ dnsNames: ["a.example"] });
    same(sslBody({ use: "client", pair, secret }, ownership), {
      labels: { ...owner, "mtls-everywhere.certificate": digestOf(pair.cert) },
      type: "client",
      cert: pair.cert,
      key: pair.key,
    });
    const server = {
      use: "server",
      pair,
      secret,
      snis: ["a.example"],
      clients: { bundle: authority.root, depth: 2 },
      protocols: ["TLSv1.3"],
    } as const;
    same(sslBody(server, ownership), {
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

describe("a renewed leaf", () => {
  it("is certificate, key and their digest, and nothing of the clients' trust", async () => {
    const pair = await (await Authority.create("edge")).leaf({ dnsNames: ["a.example"] });
    same(renewedLeaf(pair), {
      cert: pair.cert,
      key: pair.key,
      labels: { "mtls-everywhere.certificate": digestOf(pair.cert) },
    });
  });
});

describe("objections to inputs", () => {
  const upstream = { objectId: "x", owner: "o", nodes: [{ host: "a", port: 1 }], serverName: "a.example" };
  const ssl = { objectId: "x", owner: "o", certificate: {}, use: "server", snis: ["a"], clients: "anyone" };
  const route = { objectId: "x", owner: "o", hosts: ["a.example"], uris: ["/"], upstream: "x" };
  const said = (kind: "upstreams" | "ssls" | "routes", inputs: object) =>
    objections(kind, { ...inputs }).map(({ property, reason }) => `${property}: ${reason}`);

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
      'id: "a b" is no id: use letters, digits, "-", "_" and ".", at most 64. Set id when the resource\'s name is none.',
      "id: Project, stack and name together exceed the 256 characters of a label.",
      'serverName: "https://a" is no host name: give the name alone, without scheme, port or path.',
      'nodes[0].host: "a/b" is no host name or address: give it alone, without scheme, port or path.',
      "nodes[0].port: A port is a number from 1 to 65535, not 0.",
      "nodes[0].weight: A weight is a whole number from 0 up, not -1.",
      "nodes[1].host: A node needs a host: its name or address.",
      "nodes[1].port: A node needs a port: the one that its server listens on.",
      "nodes[2].host: An IPv6 address is written in brackets: [::1].",
      'nodes[3].host: "a:443" is no host name or address: give it alone, without scheme, port or path.',
      'balancer: "random" is not known: use one of roundrobin, least_conn, ewma.',
      "timeout: Give connect, send and read, each in seconds above 0.",
      "clientCertificate: Without TLS no certificate is shown: use the scheme https.",
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
        use: "both",
        snis: [],
        clients: { depth: -1 },
        protocols: ["TLSv1.1"],
      }),
      [
        "certificate: Name the Secret that holds the certificate.",
        'use: "both" is not known: use one of server, client.',
        'protocols[0]: "TLSv1.1" is not known: use one of TLSv1.2, TLSv1.3.',
        "snis: Name the hosts that this certificate serves.",
        'clients: Give { trust }, or "anyone".',
        "clients.depth: A depth is a whole number from 0 up, not -1.",
      ],
    );
    same(said("ssls", { ...ssl, clients: undefined }), [
      'clients: Say whose client certificates are accepted, by { trust }, or "anyone" to ask for none.',
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
      'hosts[0]: "*" is no host name; a wildcard is "*." and a domain.',
      'uris[0]: A path starts with "/", not like "x".',
      'methods[0]: "FETCH" is not known: use one of GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS, CONNECT, TRACE, PURGE.',
      "upstream: Pass the id of the upstream that requests go to.",
      "priority: A priority is a whole number, not 1.5.",
      "plugins.echo: A plugin's configuration is an object; {} for none.",
      "description: At most 256 characters.",
    ]);
    same(said("routes", { ...route, hosts: [] }), [
      "hosts: Name the hosts: without them the route could be reached under another host's client policy.",
    ]);
  });
});

describe("differences", () => {
  let pair: KeyPair;
  let root: string;

  before(async () => {
    const authority = await Authority.create("edge");
    pair = await authority.leaf({ dnsNames: ["a.example"] });
    root = authority.root;
  });

  const route = routeBody(
    { hosts: ["a.example"], uris: ["/"], upstream: "hello", plugins: { "key-auth": { key: "s3cret", hide: {} } } },
    ownership,
  );

  it("ignore what the server fills in or keeps to itself", () => {
    same(
      differences("routes", route, {
        ...route,
        id: "x",
        create_time: 1,
        update_time: 2,
        plugins: { "key-auth": { key: "s3cret", hide: [] } },
      }),
      [],
    );
    const { priority: _, status: __, ...silent } = route;
    same(differences("routes", route, silent), []);
    const ssl = sslBody({ use: "server", pair, secret, snis: ["a.example"], clients: { bundle: root } }, ownership);
    const { key: _key, type: _type, ...returned } = ssl;
    const spaced = { ...returned, cert: `\n${pair.cert}\n`, client: { ca: root }, id: "x", status: 1 };
    same(differences("ssls", ssl, spaced), []);
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
    same(differences("routes", route, live), [
      'hosts is ["b.example"], wanted ["a.example"]',
      'labels.team is "shop", not wanted',
      "plugins.echo is not as wanted",
      "plugins.key-auth.key is not as wanted",
      "status is 0, wanted 1",
      'upstream_id is missing, wanted "hello"',
    ]);
  });

  it("name certificates by digest, and nothing presentable holds keys or plugin values", () => {
    const ssl = sslBody({ use: "server", pair, secret, snis: ["a.example"], clients: { bundle: root } }, ownership);
    same(differences("ssls", ssl, { ...ssl, cert: root }), [
      `cert is "sha256:${digestOf(root)}", wanted "sha256:${digestOf(pair.cert)}"`,
    ]);
    same(presentable({ ...ssl, create_time: 1 }), {
      labels: ssl["labels"],
      type: "server",
      snis: ["a.example"],
      cert: `sha256:${digestOf(pair.cert)}`,
      client: { ca: `sha256:${digestOf(root)}`, depth: 1 },
    });
    same(presentable(route)["plugins"], ["key-auth"]);
    same(presentable({ tls: { client_cert: "x", client_key: "secret" } }), { tls: { client_cert: "x" } });
  });
});

describe("ownership", () => {
  it("lets its own object be written, others' only by adoption", () => {
    const its = { labels: owner };
    same(
      [undefined, its, {}, { labels: { "mtls-everywhere.owner": "shop/prod/y" } }].map((live) => [
        refusal("routes/x", live, ["mtls/dev/x"]),
        refusal("routes/x", live, ["mtls/dev/x"], true),
      ]),
      [
        [undefined, undefined],
        [undefined, undefined],
        [
          "routes/x exists already and was made by hand or by another tool. Choose another id, or set adopt: true to take it over.",
          undefined,
        ],
        [
          "routes/x exists already and belongs to shop/prod/y. Choose another id, or set adopt: true to take it over.",
          undefined,
        ],
      ],
    );
  });
});
