// The checks against running servers: a correct platform, and platforms with one fault each, which must not go unnoticed.

import { deepEqual, equal, rejects } from "node:assert/strict";
import { X509Certificate } from "node:crypto";

import { leftoverAge, temporaryLabel } from "../../../tools/verify/certificates.ts";
import { type Report, type Run, run } from "../../../tools/verify/run.ts";
import { type Callers, type Faults, LocalPlatform, missing } from "./localPlatform.ts";

const anywhere = new AbortController().signal;

describe("the checks", function () {
  const platforms: LocalPlatform[] = [];
  const start = async (faults?: Faults, callers?: Callers) => {
    const platform = await LocalPlatform.start(faults, callers);
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
      checks.map(({ hop, case: name, observed, ok }) => [hop, name, observed, ok]),
      [
        ["gateway", "edge certificate, TLS 1.3", "200", true],
        ["gateway", "no certificate, TLS 1.3", "alert certificate_required (116)", true],
        ["gateway", "certificate of the upstream plane, TLS 1.3", "alert unknown_ca (48)", true],
        ["gateway", "expired edge certificate, TLS 1.3", "alert certificate_expired (45)", true],
        ["gateway", "edge certificate, TLS 1.2", "200", true],
        ["gateway", "no certificate, TLS 1.2", "alert handshake_failure (40)", true],
        ["gateway", "certificate of the upstream plane, TLS 1.2", "alert unknown_ca (48)", true],
        ["gateway", "expired edge certificate, TLS 1.2", "alert certificate_expired (45)", true],
        ["gateway", "session of an earlier connection, TLS 1.3", "not resumed", true],
        ["gateway", "session of an earlier connection, TLS 1.2", "not resumed", true],
        ["gateway", "name that is not served", "alert internal_error (80)", true],
        ["gateway", "client that trusts the upstream plane's roots", "client refuses the server", true],
        ["Admin API", "admin certificate and key", "200", true],
        ["Admin API", "key without certificate", "400 No required SSL certificate was sent", true],
        ["Admin API", "key with an edge certificate", "400 The SSL certificate error", true],
        ["Admin API", "certificate with a wrong key", "401 wrong apikey", true],
        ["Admin API", "certificate without key", "401 missing apikey", true],
        ["Admin API", "session of an earlier connection, TLS 1.3", "not resumed", true],
        ["Admin API", "session of an earlier connection, TLS 1.2", "not resumed", true],
        ["etcd", "members", "1 member, all healthy", true],
        ["etcd", "APISIX's leaf and password, own prefix", "200", true],
        ["etcd", "APISIX's leaf and password, other keys", "403 etcdserver: permission denied", true],
        ["etcd", "etcd leaf without password", "403 etcdserver: permission denied", true],
        ["etcd", "no certificate", "alert certificate_required (116)", true],
        ["etcd", "edge certificate", "alert unknown_ca (48)", true],
        ["etcd peers", "no certificate", "alert certificate_required (116)", true],
        ["etcd peers", "APISIX's etcd leaf", "alert unknown_ca (48)", true],
        ["upstream", "APISIX's leaf", "200", true],
        ["upstream", "no certificate", "400 No required SSL certificate was sent", true],
        ["upstream", "edge certificate", "400 The SSL certificate error", true],
        ["upstream", "upstream certificate of another identity", "403 Forbidden", true],
        ["upstream", "session of an earlier connection, TLS 1.3", "not resumed", true],
        ["upstream", "session of an earlier connection, TLS 1.2", "not resumed", true],
        ["gateway to upstream", "server with the right name and plane", "200", true],
        ["gateway to upstream", "server with another name", "502 Bad Gateway", true],
        ["gateway to upstream", "server of the etcd plane", "502 Bad Gateway", true],
        ["gateway to upstream", "client's own word for who it is", "200", true],
      ],
    );
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
        ...{ subject: true, lifetime: 3_600 },
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

  describe("of a platform with a list of clients", () => {
    const gateway = ({ checks }: Report) =>
      checks.flatMap(({ hop, case: name, observed, ok }) =>
        hop === "gateway" && /edge certificate|session/.test(name) && !name.startsWith("expired")
          ? [[name, observed, ok]]
          : [],
      );
    const refusal = "403 not on the list";
    const sessions = ["TLS 1.3", "TLS 1.2"].map((version) => [
      `session of an earlier connection, ${version}`,
      "not resumed",
      true,
    ]);

    it("prove that a client on it is answered, and their own leaf refused", async () => {
      const report = await verify(await start({}, { client: "curl" }));
      deepEqual(gateway(report), [
        ["edge certificate, TLS 1.3", "200", true],
        ["edge certificate of a client that is not allowed, TLS 1.3", refusal, true],
        ["edge certificate, TLS 1.2", "200", true],
        ["edge certificate of a client that is not allowed, TLS 1.2", refusal, true],
        ...sessions,
      ]);
      deepEqual([report.ok, report.body], [true, '{ "hello": "world" }\n']);
    });

    it("prove the refusal alone where the stack has issued no client a certificate", async () => {
      const report = await verify(await start({}, { client: "curl", unissued: true }));
      deepEqual(gateway(report), [
        ["edge certificate of a client that is not allowed, TLS 1.3", refusal, true],
        ["edge certificate of a client that is not allowed, TLS 1.2", refusal, true],
        ...sessions,
      ]);
      deepEqual([report.ok, report.body], [true, ""]);
    });

    it("notice a route that answers a client that is not on it", async () => {
      const report = await verify(await start({}, { client: "verify" }));
      const name = "edge certificate of a client that is not allowed";
      deepEqual(
        report.checks.filter(({ ok }) => !ok).map(({ case: title, observed }) => [title, observed]),
        ["TLS 1.3", "TLS 1.2"].map((version) => [`${name}, ${version}`, "200"]),
      );
    });
  });

  const faulty: readonly [title: string, faults: Faults, wrong: readonly (readonly string[])[]][] = [
    [
      "one authority for all planes",
      { oneAuthority: true },
      [
        ["gateway", "certificate of the upstream plane, TLS 1.3", "200"],
        ["gateway", "certificate of the upstream plane, TLS 1.2", "200"],
        ["gateway", "client that trusts the upstream plane's roots", "200"],
        ["Admin API", "key with an edge certificate", "200"],
        ["etcd", "edge certificate", "200"],
        ["etcd peers", "APISIX's etcd leaf", "200"],
        ["upstream", "edge certificate", "403 Forbidden"],
        ["gateway to upstream", "server of the etcd plane", "404 page not found"],
      ],
    ],
    [
      "servers that ask nobody for a certificate",
      { anonymousClients: true },
      [
        ["gateway", "no certificate, TLS 1.3", "200"],
        ["gateway", "certificate of the upstream plane, TLS 1.3", "200"],
        ["gateway", "expired edge certificate, TLS 1.3", "200"],
        ["gateway", "no certificate, TLS 1.2", "200"],
        ["gateway", "certificate of the upstream plane, TLS 1.2", "200"],
        ["gateway", "expired edge certificate, TLS 1.2", "200"],
        ["Admin API", "key without certificate", "200"],
        ["Admin API", "key with an edge certificate", "200"],
        ["etcd", "no certificate", "200"],
        ["etcd", "edge certificate", "200"],
        ["etcd peers", "no certificate", "200"],
        ["etcd peers", "APISIX's etcd leaf", "200"],
        ["upstream", "no certificate", "200"],
        ["upstream", "edge certificate", "200"],
        ["upstream", "upstream certificate of another identity", "200"],
        ["gateway to upstream", "client's own word for who it is", 'failed: the upstream was told ""'],
      ],
    ],
    [
      "an etcd without users",
      { noStoreUsers: true },
      [
        ["etcd", "APISIX's leaf and password, own prefix", "400 etcdserver: authentication is not enabled"],
        ["etcd", "APISIX's leaf and password, other keys", "400 etcdserver: authentication is not enabled"],
        ["etcd", "etcd leaf without password", "200"],
      ],
    ],
    [
      "a store user who may read everything",
      { unlimitedStoreUser: true },
      [["etcd", "APISIX's leaf and password, other keys", "200"]],
    ],
    [
      "a gateway that does not verify upstreams",
      { unverifiedUpstreams: true },
      [
        ["gateway to upstream", "server with another name", "200"],
        ["gateway to upstream", "server of the etcd plane", "404 page not found"],
      ],
    ],
    [
      "servers that resume sessions",
      { resumedSessions: true },
      ["gateway", "Admin API", "upstream"].flatMap((hop) => [
        [hop, "session of an earlier connection, TLS 1.3", "resumed"],
        [hop, "session of an earlier connection, TLS 1.2", "resumed"],
      ]),
    ],
    [
      "an upstream that answers anyone of its plane",
      { anyCaller: true },
      [["upstream", "upstream certificate of another identity", "200"]],
    ],
    [
      "a gateway that passes on what clients say of themselves",
      { forgeable: true },
      [
        [
          "gateway to upstream",
          "client's own word for who it is",
          'failed: the upstream was told "Subject=\\"CN=someone,OU=else\\""',
        ],
      ],
    ],
    [
      "a gateway that cannot reach its upstream",
      { unreachableUpstream: true },
      [
        ["gateway", "edge certificate, TLS 1.3", "502 Bad Gateway"],
        ["gateway", "edge certificate, TLS 1.2", "502 Bad Gateway"],
        ["gateway", "session of an earlier connection, TLS 1.3", "502 Bad Gateway"],
        ["gateway", "session of an earlier connection, TLS 1.2", "502 Bad Gateway"],
        ["gateway to upstream", "server with the right name and plane", "502 Bad Gateway"],
        ["gateway to upstream", "client's own word for who it is", "502 Bad Gateway"],
      ],
    ],
  ];
  for (const [title, faults, wrong] of faulty) {
    it(`notice ${title}`, async () => {
      const { checks, ok } = await verify(await start(faults));
      deepEqual(
        checks.filter(({ ok }) => !ok).map(({ hop, case: name, observed }) => [hop, name, observed]),
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
