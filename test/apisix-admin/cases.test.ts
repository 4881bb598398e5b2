// Inputs from people who do this job, once accepted and then failing silently. Each is refused before anything changes, or works.

import { deepStrictEqual as same, strictEqual as equal } from "node:assert/strict";
import { createPrivateKey } from "node:crypto";

import { type KindName, kinds } from "../../apisix-admin/kinds/registry.ts";
import { renewedLeaf } from "../../apisix-admin/renewal.ts";
import { type KeyPair, neededBlocks, pairProblems } from "../../cluster-access/certificates.ts";
import { Authority } from "../support/authorities.ts";

const identity = { admin: { cluster: "uid" }, objectId: "x", owner: "mtls/dev/x" };
const good = {
  upstreams: { ...identity, nodes: [{ host: "a", port: 1 }], serverName: "hello.mtls.svc" },
  ssls: {
    ...identity,
    certificate: { namespace: "n", name: "c" },
    use: "server",
    snis: ["a.example"],
    clients: "anyone",
  },
  routes: { ...identity, hosts: ["a.example"], uris: ["/"], upstream: "x" },
};
const said = (kind: keyof typeof good & KindName, change: object) =>
  kinds[kind].objections({ ...good[kind], ...change }).map(({ property, reason }) => `${property}: ${reason}`);

describe("names that clients do not send (case 7)", () => {
  it("are refused as SNI", () => {
    same(said("ssls", { snis: ["10.0.0.5", "::1", "[::1]", "a.example.", "a/b", "*.a.example", "a.example"] }), [
      'snis[0]: "10.0.0.5" is an IP address, and clients send no server name for one. Give a host name.',
      'snis[1]: "::1" is an IP address, and clients send no server name for one. Give a host name.',
      'snis[2]: "[::1]" is an IP address, and clients send no server name for one. Give a host name.',
      'snis[3]: "a.example." ends with a dot, and certificates have none: write "a.example".',
      'snis[4]: "a/b" is not a host name; a wildcard is "*." and a domain.',
    ]);
  });
});

describe("PEM as tools write it (case 12)", () => {
  let root: Authority;
  let pair: KeyPair;

  before(async () => {
    root = await Authority.create("edge");
    pair = await root.leaf({ subject: "CN=site", dnsNames: ["a.example"] });
  });

  it("is reduced to the blocks that are needed, which are left as they are", () => {
    const wanted = neededBlocks(pair);
    const { key } = pair;
    const keys = [
      `\n${key}`,
      `\ufeff${key}`,
      `Bag Attributes\n    friendlyName: site\nKey Attributes: <No Attributes>\n${key}`,
      `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${key}`,
      key.replaceAll("\n", "\r\n"),
      key + pair.cert,
    ];
    const cert = `subject=CN = site\n\n${pair.cert}`.replaceAll("\n", "\r\n");
    for (const shape of keys) {
      same(neededBlocks({ cert, key: shape }), wanted);
      same(pairProblems({ cert, key: shape }, ["a.example"]), []);
    }
    same(renewedLeaf({ cert, key: keys[2]! }, "1-0123abcd"), renewedLeaf(pair, "1-0123abcd"));
  });

  it("with an encrypted key is recognised as such", () => {
    const key = createPrivateKey(pair.key);
    const modern = key.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" });
    const old = key.export({ type: "sec1", format: "pem", cipher: "aes-256-cbc", passphrase: "x" });
    for (const encrypted of [modern, old, `Bag Attributes\n${String(modern)}`]) {
      same(pairProblems({ cert: pair.cert, key: String(encrypted) }), [
        "The private key is encrypted, and the gateway has no passphrase for it.",
      ]);
    }
  });

  it("with a chain in the wrong order is recognised as such", async () => {
    const intermediate = await root.intermediate("sub");
    const leaf = await intermediate.leaf({ subject: "CN=site", dnsNames: ["a.example"] });
    const disordered = ['The chain is in the wrong order: "CN=site" must come first, then its issuers.'];
    const chain = (...parts: string[]) => pairProblems({ cert: parts.join("\n"), key: leaf.key }, ["a.example"]);
    same(chain(leaf.cert, intermediate.root), []);
    same(chain(leaf.cert, intermediate.root, root.root), []);
    same(chain(leaf.cert, intermediate.root, (await Authority.create("other")).root), []);
    same(chain(intermediate.root, leaf.cert), disordered);
    same(chain(root.root, intermediate.root, leaf.cert), disordered);
    same(chain(leaf.cert, root.root, intermediate.root), disordered);
  });
});

describe("names that no certificate has (case 14)", () => {
  it("are refused for a server", () => {
    const verdicts = ["10.10.10.1", "[::1]", "hello.mtls.svc.", "hello.mtls.svc"].map((serverName) =>
      said("upstreams", { serverName }),
    );
    same(verdicts, [
      [
        'serverName: "10.10.10.1" is an IP address, and the gateway verifies names only. Give a name from the server\'s certificate.',
      ],
      [
        'serverName: "[::1]" is an IP address, and the gateway verifies names only. Give a name from the server\'s certificate.',
      ],
      ['serverName: "hello.mtls.svc." ends with a dot, and certificates have none: write "hello.mtls.svc".'],
      [],
    ]);
  });
});

describe("servers that the gateway does not trust (case 19)", () => {
  const refused = (host: string, more: object = {}) => said("upstreams", { nodes: [{ host, port: 443 }], ...more });

  it("are refused by their public names, with the way to them", () => {
    for (const host of ["api.shop.com", "shop.org", "API.Shop.DE", "www.shop.co.uk"])
      same(refused(host), [
        `nodes[0].host: "${host}" is a server on the internet: the gateway trusts only certificates of the upstream plane, so every request would be answered with 502. ` +
          `Reach it through an EgressProxy, which verifies it against its own authorities; a Service's own name is written with ".svc".`,
      ]);
    same(refused("api.shop.com", { scheme: "http" }), []);
  });

  it("are not taken for the cluster's own, however their names are written", () => {
    const short = ["shop", "shop.dev", "shop.de", "shop-0.shop.dev", "etcd-0.etcd-peers.mtls"];
    const full = ["shop.shop.svc", "shop.de.svc.cluster.local", "shop.shop.svc.k8s.shop.com"];
    const others = ["10.0.0.5", "203.0.113.7", "[2001:db8::7]", "db.corp.internal", "shop.example", "localhost"];
    for (const host of [...short, ...full, ...others]) same(refused(host), []);
    // What a server's certificate says is another matter than where it is.
    same(refused("shop.shop.svc", { serverName: "api.shop.com" }), []);
  });
});

describe("paths that no request has (case 18)", () => {
  const verdict = (uri: string) => said("routes", { uris: [uri] })[0]?.replace("uris[0]: ", "");

  it("are refused, along with a form that works", () => {
    const parameters = 'never matches: paths have no parameters, and "*" works only at the end.';
    const query = 'never matches: paths are compared without "?" or "#" and what follows.';
    const carried = "contains a character that requests carry percent-encoded, so it may not match.";
    const segments = 'never matches: paths are compared without "//", "." and "..".';
    const wanted: Record<string, string> = {
      "/users/:id": `${parameters} Use "/users/*" with vars: [["uri","~~","^/users/[^/]+$"]].`,
      "/:shop/items": `${parameters} Use "/*" with vars: [["uri","~~","^/[^/]+/items$"]].`,
      "/users/{id}": `${parameters} Use "/users/*" with vars: [["uri","~~","^/users/[^/]+$"]].`,
      "/v1/*/items": `${parameters} Use "/v1/*" with vars: [["uri","~~","^/v1/[^/]+/items$"]].`,
      "/v1.0/*/items/*": `${parameters} Use "/v1.0/*" with vars: [["uri","~~","^/v1\\\\.0/[^/]+/items/"]].`,
      "/search?q=1": `${query} Use "/search" with vars: [["arg_q","==","1"]].`,
      "/page#top": `${query} Use "/page".`,
      "/a b": `${carried} Use "/a*" with vars: [["request_uri","~~","^/a%20b(\\\\?|$)"]].`,
      "/é": `${carried} Use "/*" with vars: [["request_uri","~~","^/%C3%A9(\\\\?|$)"]].`,
      "/a%20b": `${carried} Use "/a*" with vars: [["request_uri","~~","^/a%20b(\\\\?|$)"]].`,
      "/a//b": `${segments} Use "/a/b".`,
      "/a/../b/*": `${segments} Use "/b/*".`,
    };
    const given = Object.keys(wanted);
    same(
      given.map(verdict),
      given.map((uri) => `${JSON.stringify(uri)} ${wanted[uri]}`),
    );
  });

  it("are told from those that requests may have", () => {
    for (const uri of ["/", "/*", "/a/*", "/users/", "/v1/items:batch", "/a-b_c.d~e/(f)", "/@me"])
      equal(verdict(uri), undefined);
  });

  it("are suggested in a form that is accepted", () => {
    for (const uri of ["/users/:id", "/v1/*/items", "/search?q=1", "/a b", "/a//b"]) {
      const [, path, conditions] = /Use ("[^"]+")(?: with vars: (.+))?\.$/.exec(verdict(uri)!)!;
      const vars = conditions === undefined ? undefined : (JSON.parse(conditions) as unknown);
      same(said("routes", { uris: [JSON.parse(path!)], vars }), []);
    }
  });
});
