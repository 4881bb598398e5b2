// The checks against running servers: a correct platform, and platforms with one fault each, which must not go unnoticed.

import { deepEqual, equal, ok as holds, rejects } from "node:assert/strict";
import { X509Certificate } from "node:crypto";

import { labels } from "../../../apisix-admin/body.ts";
import { type KeyPair, notAfter as endOf } from "../../../cluster-access/certificates.ts";
import { leftoverAge, temporaryLabel } from "../../../tools/verify/certificates.ts";
import { linesOf } from "../../../tools/verify/matrix/lines.ts";
import { type Report, type Result, type Run, run } from "../../../tools/verify/run.ts";
import { Uncheckable } from "../../../tools/verify/unchecked.ts";
import { type Plane, planes } from "../../../vocabulary/planes.ts";
import { Authority } from "../../support/authorities.ts";
import { type Faults, type Form, LocalPlatform, missing } from "./localPlatform.ts";

const anywhere = new AbortController().signal;

/** Cases by hop and by what was observed. */
type Grouped = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

function grouped(checks: readonly Result[], which: (check: Result) => boolean): Grouped {
  const byHop = Map.groupBy(checks.filter(which), ({ hop }) => hop);
  return Object.fromEntries(
    [...byHop].map(([hop, lines]) => {
      const seen = Map.groupBy(lines, ({ observed }) => observed);
      return [hop, Object.fromEntries([...seen].map(([said, cases]) => [said, cases.map((line) => line.case)]))];
    }),
  );
}

/** The names of cases that are tried on both versions of TLS, in the report's order. */
function onBoth(...names: readonly string[]): string[] {
  return ["TLS 1.3", "TLS 1.2"].flatMap((version) => names.map((name) => `${name}, ${version}`));
}

function others(own: Plane): readonly Plane[] {
  return planes.filter((plane) => plane !== own);
}

/** What goes wrong at a server that trusts the others' planes, and they it. */
function ofOthers(own: Plane): readonly string[] {
  return [
    ...onBoth(...others(own).map((plane) => `certificate of the ${plane} plane`)),
    "client that trusts all other planes' roots",
  ];
}

/** What goes wrong at a server that takes any certificate. */
function anyCertificate(own: Plane, ...more: readonly string[]): readonly string[] {
  const wrong = ["no certificate", "expired certificate", "self-signed certificate", "certificate for servers"];
  return onBoth(...wrong, ...others(own).map((plane) => `certificate of the ${plane} plane`), ...more);
}

describe("the checks", function () {
  const platforms: LocalPlatform[] = [];
  const start = async (faults?: Faults & Form) => {
    const platform = await LocalPlatform.start(faults);
    platforms.push(platform);
    return platform;
  };
  const verify = ({ outputs, access, certificates }: LocalPlatform, more: Partial<Run> = {}): Promise<Report> =>
    run({ outputs, access, certificates, signal: anywhere, ...more });
  /** Ids of all objects in APISIX. */
  const objects = async ({ admin }: LocalPlatform) => {
    const ids = async (kind: string) => {
      const { list } = JSON.parse((await admin("GET", kind)).body) as { list: { value: { id: string } }[] };
      return list.map(({ value }) => `${kind}/${value.id}`);
    };
    return [...(await ids("routes")), ...(await ids("ssls"))].sort();
  };

  before(function () {
    const reason = missing();
    if (reason === undefined) return;
    process.stderr.write(`  skipped: ${reason}\n`);
    this.skip();
  });

  after(() => Promise.all(platforms.map((platform) => platform.stop())));

  it("find nothing wrong with a correct platform, and leave nothing behind", async () => {
    const platform = await start();
    const { checks, served, ok, body } = await verify(platform);
    deepEqual(
      grouped(checks, ({ ok }) => !ok),
      {},
    );
    deepEqual(
      checks.map(({ hop, case: name, threat }) => [hop, name, threat]),
      linesOf(platform.outputs).map(({ hop, case: name, threat }) => [hop, name, threat]),
    );
    // What every server said, whatever was wrong.
    const said = Map.groupBy(checks, ({ hop }) => hop);
    const page = "400 The SSL certificate error";
    const missing = ["alert certificate_required (116)", "alert handshake_failure (40)"];
    const names = ["alert protocol_version (70)", "client refuses the server", "client refuses the server's name"];
    const bad = ["alert bad_certificate (42)", "alert certificate_expired (45)", ...missing];
    deepEqual(
      Object.fromEntries(
        [...said].map(([hop, lines]) => [hop, [...new Set(lines.map(({ observed }) => observed))].sort()]),
      ),
      {
        gateway: [
          ...["", "200", "400 Bad Request", "404 Route Not Found", ...bad],
          ...["alert internal_error (80)", names[0], "alert unknown_ca (48)", names[1], "not resumed"],
        ],
        "Admin API": [
          ...["", "200", "400 No required SSL certificate was sent", page, "401 missing apikey", "401 wrong apikey"],
          ...["403 Forbidden", "alert handshake_failure (40)", ...names, "not resumed"],
        ],
        etcd: [
          ...["", "1 member, all healthy", "200"],
          "400 etcdserver: authentication failed, invalid user ID or password",
          ...["403 etcdserver: permission denied", ...bad, names[0], "alert unknown_ca (48)", names[1], names[2]],
        ],
        "etcd peers": ["", "200", ...bad, names[0], "alert unknown_ca (48)", names[1], names[2]],
        upstream: [
          ...["", "200", "400 No required SSL certificate was sent", page, "403 Forbidden"],
          ...["alert handshake_failure (40)", ...names, "not resumed"],
        ],
        "gateway to upstream": ["200", "404 Route Not Found", "502 Bad Gateway"],
      },
    );
    const unchecked = checks.filter(({ verdict }) => verdict === "not checked");
    deepEqual([checks.length - unchecked.length, unchecked.length], [142, 33]);
    deepEqual(
      served.map(({ hop, pod, root, verdict, remark }) => [hop, pod, root, verdict, remark]),
      [
        ["gateway", "local", "edge root", "right", ""],
        ["Admin API", "local", "admin root", "right", ""],
        ["etcd", "local", "etcd root", "right", ""],
        ["etcd peers", "local", "etcd-peer root", "right", ""],
        ["upstream", "local", "upstream root", "right", ""],
      ],
    );
    const { serialNumber, validToDate } = new X509Certificate(
      await platform.access.certificate(platform.outputs.serverCertificates!.edge),
    );
    deepEqual([served[0]?.serial, Date.parse(served[0]?.notAfter ?? "")], [serialNumber, Number(validToDate)]);
    deepEqual({ ok, body }, { ok: true, body: '{ "hello": "world" }\n' });
    deepEqual(await objects(platform), ["routes/hello", "ssls/site", "ssls/upstream"]);
  });

  it("see each of a server's pods, and a Secret that is ahead of what is served", async () => {
    const platform = await start();
    const renewed = await platform.certificates.issue(
      {
        issuer: platform.outputs.issuers.edge,
        identity: { trustDomain: "test", namespace: "platform", serviceAccount: "gateway" },
        ...{ subject: true, lifetime: 3_600, dnsNames: [], usages: ["server auth"] },
      },
      anywhere,
    );
    const { checks, served, ok } = await verify(platform, {
      access: {
        ...platform.access,
        readyPods: async () => ["one", "two"],
        certificate: async (ref) => (ref.name === "gateway" ? renewed.cert : platform.access.certificate(ref)),
        open: async (to, signal) => {
          if (to.pod === "two" && to.port === platform.outputs.upstream.pods.port) throw new Error("no such door");
          return platform.access.open(to, signal);
        },
      },
    });
    const said = /^Secret platform\/gateway holds (a newer|another) one, valid from .*Z\.$/;
    deepEqual(
      served.flatMap(({ hop, pod, verdict, remark }) =>
        verdict === "right" ? [] : [[hop, pod, verdict, remark.replace(said, "differs")]],
      ),
      [
        ["gateway", "one", "warning", "differs"],
        ["gateway", "two", "warning", "differs"],
        ["upstream", "two", "wrong", "failed: no such door"],
      ],
    );
    deepEqual([served.length, checks.every((check) => check.ok), ok], [10, true, false]);
  });

  it("verify the gateway against the roots of its own certificate where that is another authority's", async () => {
    const platform = await start({ foreign: true });
    const { checks, served, ok } = await verify(platform);
    deepEqual(
      grouped(checks, ({ ok }) => !ok),
      {},
    );
    deepEqual([served[0]?.root, served[0]?.verdict, ok], ["public root", "right", true]);
    // By the edge plane's roots alone, nobody would be answered.
    const { roots: _roots, ...gateway } = platform.outputs.gateway;
    const wrong = await verify(platform, { outputs: { ...platform.outputs, gateway } });
    holds(wrong.checks.some(({ hop, observed }) => hop === "gateway" && observed === "client refuses the server"));
    deepEqual(
      wrong.served.filter(({ verdict }) => verdict === "wrong").map(({ hop, remark }) => [hop, remark]),
      [["gateway", "Its chain does not end at a root that its clients trust."]],
    );
  });

  it("show what the gateway serves for other hosts, whoever signed it, and when their Secrets are ahead", async () => {
    const platform = await start();
    const own = await Authority.create("shop");
    const leaf = (dnsNames: string[], lifetime: number) => own.leaf({ dnsNames, usages: ["server auth"], lifetime });
    const [shop, stock, renewed] = [
      await leaf(["shop.test"], 3_600_000),
      await leaf(["*.stock.test"], 3_600_000),
      await leaf(["*.stock.test"], 7_200_000),
    ];
    const put = (id: string, snis: readonly string[], pair: KeyPair) =>
      platform.admin("PUT", `ssls/${id}`, { snis, ...pair, labels: { [labels.secret]: `web/${id}` } });
    await put("stock", ["*.stock.test"], stock);
    await put("shop", ["shop.test"], shop);
    const { served, ok } = await verify(platform, {
      access: {
        ...platform.access,
        certificate: async (ref) =>
          ref.namespace !== "web" ? platform.access.certificate(ref) : (ref.name === "shop" ? shop : renewed).cert,
      },
    });
    const said = /^Secret web\/stock holds (a newer|another) one, valid from .*Z\.$/;
    deepEqual(
      served
        .slice(5)
        .map(({ hop, host, root, notAfter, verdict, remark }) => [
          ...[hop, host, root, Date.parse(notAfter), verdict, remark.replace(said, "differs")],
        ]),
      [
        ["gateway", "*.stock.test", "its owner's", Number(endOf(stock.cert)), "warning", "differs"],
        ["gateway", "shop.test", "its owner's", Number(endOf(shop.cert)), "right", ""],
      ],
    );
    deepEqual([served.length, ok], [7, true]);
  });

  it("try a leaf without its intermediate where leaves have one", async () => {
    const { checks, ok } = await verify(await start({ intermediates: true }));
    const tried = checks.filter(({ case: name }) => name === "certificate without its intermediate");
    deepEqual(
      [tried.map(({ hop, observed }) => [hop, observed]), ok],
      [
        [
          ["gateway", "alert unknown_ca (48)"],
          ["Admin API", "400 The SSL certificate error"],
          ["etcd", "alert unknown_ca (48)"],
          ["etcd peers", "alert unknown_ca (48)"],
          ["upstream", "400 The SSL certificate error"],
        ],
        true,
      ],
    );
  });

  it("say what they could not check where nobody signs it", async () => {
    const platform = await start();
    const { checks, ok } = await verify(platform, {
      certificates: {
        ...platform.certificates,
        issue: async (order, signal) => {
          if (order.usages.length === 1 && order.usages[0] === "server auth") throw new Uncheckable("Not for servers.");
          return platform.certificates.issue(order, signal);
        },
      },
    });
    const denied = checks.filter(({ why }) => why === "Not for servers.");
    deepEqual(
      grouped(denied, () => true),
      {
        ...Object.fromEntries(
          ["gateway", "Admin API", "etcd", "etcd peers", "upstream"].map((hop) => [
            hop,
            { "": onBoth("certificate for servers") },
          ]),
        ),
        "gateway to upstream": {
          "": [
            "staged server with the right name and plane",
            ...others("upstream").map((plane) => `server of the ${plane} plane`),
          ],
        },
      },
    );
    equal(ok, true);
  });

  describe("of a platform with a list of clients", () => {
    const gateway = ({ checks }: Report) =>
      checks.flatMap(({ hop, case: name, observed, ok }) =>
        hop === "gateway" && /right certificate|another identity|session/.test(name) ? [[name, observed, ok]] : [],
      );
    const refused = (version: string) => [`certificate of another identity, ${version}`, "403 not on the list", true];
    const answered = (version: string) => [`right certificate, ${version}`, "200", true];
    const sessions = onBoth("session of an earlier connection").map((name) => [name, "not resumed", true]);

    it("prove that a client on it is answered, and their own leaf refused", async () => {
      const report = await verify(await start({ client: "curl" }));
      const lines = ["TLS 1.3", "TLS 1.2"].flatMap((version) => [answered(version), refused(version)]);
      deepEqual(gateway(report), [...lines, ...sessions]);
      deepEqual([report.ok, report.body], [true, '{ "hello": "world" }\n']);
    });

    it("prove the refusal alone where the stack has issued no client a certificate", async () => {
      const report = await verify(await start({ client: "curl", unissued: true }));
      deepEqual(gateway(report), [...["TLS 1.3", "TLS 1.2"].map(refused), ...sessions]);
      deepEqual([report.ok, report.body], [true, ""]);
    });

    it("notice a route that answers a client that is not on it", async () => {
      const { checks } = await verify(await start({ client: "verify" }));
      deepEqual(
        grouped(checks, ({ ok }) => !ok),
        { gateway: { "200": onBoth("certificate of another identity") } },
      );
    });
  });

  const faulty: readonly [title: string, faults: Faults & Form, wrong: Grouped][] = [
    [
      "one authority for all planes",
      { oneAuthority: true },
      {
        gateway: { "200": ofOthers("edge") },
        "Admin API": {
          "403 Forbidden": onBoth(...others("admin").map((plane) => `certificate of the ${plane} plane`)),
          "200": ["client that trusts all other planes' roots"],
        },
        etcd: { "200": ofOthers("etcd") },
        "etcd peers": { "200": ofOthers("etcd-peer") },
        upstream: {
          "403 Forbidden": onBoth(...others("upstream").map((plane) => `certificate of the ${plane} plane`)),
          "200": ["client that trusts all other planes' roots"],
        },
        "gateway to upstream": {
          "404 Route Not Found": others("upstream").map((plane) => `server of the ${plane} plane`),
        },
      },
    ],
    [
      "servers that ask nobody for a certificate",
      { anonymousClients: true },
      {
        gateway: { "200": [...anyCertificate("edge"), "SNI that admits other clients, Host of another"] },
        "Admin API": { "200": anyCertificate("admin", "certificate of another identity") },
        etcd: { "200": anyCertificate("etcd") },
        "etcd peers": { "200": anyCertificate("etcd-peer") },
        upstream: { "200": anyCertificate("upstream", "certificate of another identity") },
        "gateway to upstream": { 'failed: the upstream was told ""': ["client's own word for who it is"] },
      },
    ],
    [
      "an etcd without users",
      { noStoreUsers: true },
      {
        etcd: {
          "400 etcdserver: authentication is not enabled": [
            "APISIX's leaf and password, own prefix",
            "APISIX's leaf and password, other keys",
            "APISIX's leaf with a wrong password",
          ],
          "200": ["APISIX's leaf without password", "another identity's leaf without password"],
        },
      },
    ],
    [
      "a store user who may read everything",
      { unlimitedStoreUser: true },
      { etcd: { "200": ["APISIX's leaf and password, other keys"] } },
    ],
    [
      "a gateway that does not verify upstreams",
      { unverifiedUpstreams: true },
      {
        "gateway to upstream": {
          "200": ["server with another name"],
          "404 Route Not Found": [
            "server with a self-signed certificate",
            "server with an expired certificate",
            "server with a client's certificate",
            ...others("upstream").map((plane) => `server of the ${plane} plane`),
          ],
        },
      },
    ],
    [
      "servers that resume sessions",
      { resumedSessions: true },
      Object.fromEntries(
        ["gateway", "Admin API", "upstream"].map((hop) => [
          hop,
          { resumed: onBoth("session of an earlier connection") },
        ]),
      ),
    ],
    [
      "an upstream that answers anyone of its plane",
      { anyCaller: true },
      { upstream: { "200": onBoth("certificate of another identity") } },
    ],
    [
      "an Admin API that answers anyone of its plane",
      { anyAdminClient: true },
      { "Admin API": { "200": onBoth("certificate of another identity") } },
    ],
    [
      "a gateway that passes on what clients say of themselves",
      { forgeable: true },
      {
        "gateway to upstream": {
          'failed: the upstream was told "Subject=\\"CN=someone,OU=else\\"\\n:Zm9yZ2Vk:"': [
            "client's own word for who it is",
          ],
        },
      },
    ],
    [
      "an upstream that knows what its callers must send",
      { intermediates: true, knownIntermediate: true },
      { upstream: { "200": ["certificate without its intermediate"] } },
    ],
    [
      "servers that take weak suites and old versions",
      { weakTls: true },
      {
        ...Object.fromEntries(
          ["gateway", "Admin API", "etcd", "etcd peers"].map((hop) => [hop, { "200": ["weak suite"] }]),
        ),
        upstream: { "200": ["TLS 1.1", "weak suite"] },
      },
    ],
    [
      "servers that answer to another name",
      { anyName: true },
      {
        gateway: { "400 Bad Request": ["SNI that is not served", "Host other than SNI"] },
        ...Object.fromEntries(
          ["Admin API", "etcd", "etcd peers", "upstream"].map((hop) => [hop, { "200": ["SNI that is not served"] }]),
        ),
      },
    ],
    ["a route for every Host", { anyHost: true }, { gateway: { "200": ["Host other than SNI"] } }],
    [
      "a gateway that cannot reach its upstream",
      { unreachableUpstream: true },
      {
        gateway: { "502 Bad Gateway": onBoth("right certificate").concat(onBoth("session of an earlier connection")) },
        "gateway to upstream": {
          "502 Bad Gateway": ["server with the right name and plane", "client's own word for who it is"],
        },
      },
    ],
  ];
  for (const [title, faults, wrong] of faulty) {
    it(`notice ${title}`, async () => {
      const { checks, ok } = await verify(await start(faults));
      deepEqual(
        grouped(checks, ({ ok }) => !ok),
        wrong,
      );
      equal(ok, false);
    });
  }

  it("remove what a killed run left behind, but nothing newer", async () => {
    const platform = await start();
    const put = (id: string, age: number) =>
      platform.admin("PUT", `routes/${id}`, {
        uri: `/.verify/${id}`,
        labels: { [temporaryLabel]: new Date(Date.now() - age).toISOString() },
        upstream: { type: "roundrobin", nodes: { "localhost:1": 1 } },
      });
    await put("killed", leftoverAge + 60_000);
    await put("running", 60_000);
    await verify(platform);
    deepEqual(await objects(platform), ["routes/hello", "routes/running", "ssls/site", "ssls/upstream"]);
  });

  it("remove what they created if interrupted", async () => {
    const platform = await start();
    const interrupt = new AbortController();
    const most: string[][] = [];
    const verifying = verify(platform, { signal: interrupt.signal });
    const interrupted = rejects(verifying, { message: "interrupted" });
    while (most.length === 0) {
      const now = await objects(platform);
      if (now.length > 3) most.push(now);
    }
    interrupt.abort(new Error("interrupted"));
    await interrupted;
    deepEqual(await objects(platform), ["routes/hello", "ssls/site", "ssls/upstream"]);
  });

  it("do not run against another cluster", async () => {
    const platform = await start();
    const expect = async (uid: string) => {
      throw new Error(`not cluster ${uid}`);
    };
    await rejects(verify(platform, { access: { ...platform.access, expect } }), {
      message: "not cluster this machine",
    });
  });
});
