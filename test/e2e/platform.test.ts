// The platform's whole life in a lab of its own: up, verified, changed, drifted, refused, destroyed, and nothing left.

import { deepStrictEqual as same, doesNotMatch, match, ok, strictEqual as equal } from "node:assert/strict";
import { randomInt } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { parse, stringify } from "yaml";

import { type AdminClient } from "../../apisix-admin/client.ts";
import { adminClient, closeSessions } from "../../apisix-admin/session.ts";
import { certificatesOf } from "../../cluster-access/certificates.ts";
import { approverName } from "../../components/approver.ts";
import { Cluster } from "../../cluster-access/cluster.ts";
import { shownBy } from "../../cluster-access/handshake.ts";
import { Transport } from "../../cluster-access/transport.ts";
import { deletions } from "../../lab/proofs/deletions.ts";
import { draws } from "../../lab/proofs/prove.ts";
import { withoutSslyze } from "../../lab/sslyze.ts";
import type { PlatformOutputs } from "../../outputs.ts";
import { ask } from "../../tools/verify/http.ts";
import type { Report } from "../../tools/verify/run.ts";
import { planes } from "../../vocabulary/planes.ts";
import type { PodPort } from "../../vocabulary/references.ts";
import { platformOutputs } from "../support/outputs.ts";
import { second, writeSecondSite } from "../support/secondSite.ts";
import { changes, type Finished, inLabFolder, inOwnLab, keep, labFolder, must, run, stopLab } from "./ownLab.ts";
import { saidToLeafThatBegins } from "./earlyLeaves.ts";
import {
  ask as askForLeaves,
  decisions,
  edgeIssuer,
  expected,
  host as tenantsHost,
  requests,
  Tenant,
  tenant,
  withdraw,
} from "./requests.ts";
import { Rotation } from "./rotation.ts";
import { scanListeners } from "./tlsScan.ts";
import { cgroupsLeft, hostState, packetFilter, processesLeft, tracesOf } from "./traces.ts";

const minute = 60_000;

const up = ["up", "--yes", "--skip-preview", "--json"];
const refresh = ["refresh", "--yes", "--skip-preview", "--json"];

describe("the platform in a lab of its own", function () {
  this.timeout(5 * minute);
  this.slow(1); // makes mocha print how long each step took

  let host: ReturnType<typeof hostState>;
  let objects: string[];
  let outputs: PlatformOutputs;

  before(() => {
    host = hostState();
  });
  inOwnLab(async () => {
    objects = await allObjects();
  });

  it("comes up", async () => {
    const { code, output } = await run("pulumi", ["up", "--yes", "--skip-preview"]);
    equal(code, 0, output);
    outputs = await readOutputs();
  });

  it("passes every check of every hop", async () => {
    const { code, stdout, output } = await run(process.execPath, ["tools/verify/cli.ts", "--json"]);
    equal(code, 0, output);
    const { ok: allRight, checks, body } = JSON.parse(stdout) as Report;
    same(
      checks.filter((check) => !check.ok),
      [],
    );
    const right = checks.filter(({ verdict }) => verdict === "right");
    ok(allRight && right.length >= 120);
    ok(right.some((check) => check.hop === "gateway" && check.case.startsWith("certificate of another identity")));
    equal(body, '{ "hello": "world" }');
  });

  it("gives nobody a leaf for another's identity, name or usage, and leaves other issuers alone", async () => {
    const file = await configWith((config) => {
      config["mtls-everywhere:gateway"] = { host: "upstream", clients: ["curl"], hosts: [`${tenant}/${tenantsHost}`] };
    });
    // The webhook that judges a policy may be away for a moment: it has just been installed, or its node is drained.
    const approver = (replicas: number) =>
      must("kubectl", ["--namespace", "cert-manager", "scale", `deploy/${approverName}`, `--replicas=${replicas}`]);
    await approver(0);
    const [listed] = await Promise.all([
      must("pulumi", up, { PULUMI_OPTION_CONFIG_FILE: file }),
      sleep(minute / 4).then(() => approver(1)),
    ]);
    same(changes(listed), { update: ["CertificateRequestPolicy mtls.edge.servers"] });
    await askForLeaves();
    const byName = async () => Object.fromEntries((await decisions()).map(({ name, decision }) => [name, decision]));
    await eventually("who decided what about each request", byName, expected);
    for (const { name, message } of await decisions()) {
      ok(message.includes(requests[name]?.denied ?? ""), `${name}: ${message}`);
    }
    // Theirs that were approved are issued, and so are the platform's own: it has come up.
    for (const name of ["own-client", "own-site", "own-service", "own-caller", "not-ours"]) {
      await must("kubectl", [
        "--namespace",
        "tenant",
        "wait",
        "--timeout=1m",
        "--for=condition=Ready",
        `certificate/${name}`,
      ]);
    }

    // Nor does anybody who has all rights to requests in a namespace make, change or approve one there.
    const account = await Tenant.create();
    const isRefused = async (attempt: Promise<Finished>, why: string) => {
      const { code, output } = await attempt;
      ok(code > 0 && output.includes(why), output);
    };
    const [approved, ready] = ["Approved", "Ready"].map((type) => ({
      type,
      status: "True",
      reason: "x",
      message: "x",
    }));
    await isRefused(account.request({}), "are made by cert-manager, for Certificates");
    await isRefused(
      account.report("another-host", { conditions: [approved] }),
      "are approved by approver-policy alone",
    );
    await isRefused(
      account.report("own-client", { conditions: [approved, ready] }),
      "have their status from cert-manager",
    );
    await isRefused(account.redirect("not-ours", edgeIssuer), "stay as they were made");
    const { administrator } = Tenant;
    await isRefused(administrator.request({ usages: ["digital signature"] }), 'must name the usage "server auth" or');
    await isRefused(administrator.request({ request: "x".repeat(20_000) }), "have at most 16384 bytes");
    await withdraw();
  });

  it("limits a platform that ran without limits, and has nothing issued again", async () => {
    const dates = "jsonpath={range .items[*]}{.metadata.name} {.status.revision} {.status.notBefore}{'\\n'}{end}";
    const issued = () => must("kubectl", ["get", "certificates", "--all-namespaces", "-o", dates]);
    const before = await issued();
    const key = "mtls-everywhere:certManager";
    const file = await configWith((config) => {
      config[key] = { ...(config[key] as object), approver: { install: false } };
    });
    same(Object.keys(changes(await must("pulumi", up, { PULUMI_OPTION_CONFIG_FILE: file }))), ["delete"]);

    // What somebody is issued meanwhile, and would not be again, is not lost in silence.
    const leaf = inLabFolder("any-host.yaml");
    const issuerRef = { kind: "ClusterIssuer", name: "mtls-edge" };
    const names = { dnsNames: ["any.example"], uris: ["spiffe://dev.mtls.internal/ns/default/sa/any"] };
    writeFileSync(
      leaf,
      stringify({
        ...{ apiVersion: "cert-manager.io/v1", kind: "Certificate", metadata: { name: "any", namespace: "default" } },
        spec: { secretName: "any", ...names, usages: ["server auth"], duration: "24h", issuerRef },
      }),
    );
    await must("kubectl", ["apply", "-f", leaf]);
    await must("kubectl", ["wait", "--timeout=1m", "--for=condition=Ready", "certificate/any"]);
    const { code, output } = await run("pulumi", ["preview"]);
    ok(
      code > 0 && output.includes('Certificate default/any: gateway.hosts does not list "default/any.example".'),
      output,
    );
    // Its Secret goes with it, at times before it is named here.
    await must("kubectl", ["delete", "certificate/any", "secret/any", "--ignore-not-found"]);

    same(Object.keys(changes(await must("pulumi", up))), ["create"]);
    equal(await issued(), before);
  });

  it("refuses leaves that are not valid yet, which only its roots' own keys can sign", async () => {
    const page = "400 The SSL certificate error";
    const valid = Object.entries(await saidToLeafThatBegins(-minute, outputs));
    same(Object.fromEntries(valid.map(([hop, said]) => [hop, said.slice(0, 3)])), {
      ...{ gateway: "403", "Admin API": "403", etcd: "200", "etcd peers": "200", upstream: "403" },
    });
    // Go, in which etcd and the lab's gateway are written, says of them that they have expired, and OpenSSL the second.
    const dated = ["alert certificate_expired (45)", "alert bad_certificate (42)"];
    const { gateway = "", ...others } = await saidToLeafThatBegins(60 * minute, outputs);
    ok(dated.includes(gateway), gateway);
    same(others, { "Admin API": page, etcd: dated[0], "etcd peers": dated[0], upstream: page });
  });

  it("offers at each listener what Mozilla's intermediate profile has, and no more (case 21)", async function () {
    this.timeout(15 * minute); // about a hundred connections per listener, and sslyze is fetched first
    const reason = await withoutSslyze();
    if (reason) {
      console.log(`      skipped: ${reason}`);
      return this.skip();
    }
    // No exceptions for private roots and short lifetimes: sslyze trusts the plane's roots, and hours are short enough.
    const client = { namespace: "mtls", name: "client-curl" };
    const ofGo = { tls_curves: "TLS curves {'secp521r1'} are supported, but should be rejected." };
    same(await scanListeners(new Cluster(), outputs, client), {
      // Go offers P-521 last, and etcd has no setting for curves.
      ...{ etcd: ofGo, "etcd-peer": ofGo },
      ...{ admin: {}, edge: {}, upstream: {} },
    });
  });

  it("shows nothing to change", async () => {
    const { code, output } = await run("pulumi", ["preview", "--expect-no-changes"]);
    equal(code, 0, output);
  });

  it("gives other stacks its outputs, none of them secret", async () => {
    const text = await must("pulumi", ["stack", "output", "--json"]);
    doesNotMatch(text, /\[secret\]/);
    const given = JSON.parse(text) as PlatformOutputs;
    for (const plane of planes)
      match(given.roots[plane], /^(-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n)+$/);
    equal(new Set(Object.values(given.roots)).size, planes.length);
    const environment = { trustDomain: "dev.mtls.internal", host: "upstream", cluster: await new Cluster().uid() };
    const ids = { route: "hello" };
    const { sealedBy = "", ...admin } = given.admin;
    match(sealedBy, /^1-[0-9a-f]{8}$/);
    const known = { roots: given.roots, generation: "1", clients: ["curl"], ids };
    same({ ...given, admin }, platformOutputs({ ...environment, ...known }));
  });

  it("has no private key in its state, even after a refresh", async () => {
    await holdsNoPrivateKey();
    same(changes(await must("pulumi", refresh)), {});
    await holdsNoPrivateKey();
  });

  it("serves new content after a change of configuration", async () => {
    const file = await configWith((config) => {
      config["mtls-everywhere:upstream"] = {
        ...(config["mtls-everywhere:upstream"] as object),
        files: { "index.json": '{ "hello": "again" }' },
      };
    });
    same(changes(await must("pulumi", up, { PULUMI_OPTION_CONFIG_FILE: file })), {
      update: ["ConfigMap upstream-files"],
    });
    await answers('{ "hello": "again" }');
    same(changes(await must("pulumi", up)), { update: ["ConfigMap upstream-files"] });
    await answers('{ "hello": "world" }');
  });

  it("reports a route that was changed behind its back, and repairs it", async () => {
    const right = await live("routes", "hello");
    await behindItsBack(async (admin) => admin.put("routes", "hello", { ...right, uris: ["/elsewhere"] }));
    await finds403();
    const report = await must("pulumi", ["preview"]);
    match(report, /routes\/hello: uris is \["\/elsewhere"\], wanted \["\/\*"\]/);
    same(changes(await must("pulumi", refresh)), { update: ["ApisixRoute hello"] });
    same(changes(await must("pulumi", up)), { update: ["ApisixRoute hello"] });
    same(await live("routes", "hello"), right);
    await answers('{ "hello": "world" }');
    await showsNothing();
  });

  it("notices a deleted route at refresh, and creates it again", async () => {
    const { labels: _, ...right } = await live("routes", "hello");
    await behindItsBack((admin) => admin.delete("routes", "hello"));
    await finds403();
    same(changes(await must("pulumi", refresh)), { delete: ["ApisixRoute hello"] });
    same(changes(await must("pulumi", up)), { create: ["ApisixRoute hello"] });
    const { labels: __, ...again } = await live("routes", "hello");
    same(again, right);
    await answers('{ "hello": "world" }');
    await showsNothing();
  });

  it("repairs an upstream and a certificate without a refresh", async () => {
    const [upstream, site] = [await live("upstreams", "hello"), await live("ssls", "site")];
    const node = { host: "nowhere.mtls.svc", port: 443, weight: 1 };
    await behindItsBack(async (admin) => {
      await admin.put("upstreams", "hello", { ...upstream, nodes: [node] });
      await admin.delete("ssls", "site");
    });
    const { update = [], ...others } = changes(await must("pulumi", up));
    same({ update: update.sort(), others }, { update: ["ApisixSsl site", "ApisixUpstream hello"], others: {} });
    same(withoutLabels(await live("upstreams", "hello")), withoutLabels(upstream));
    equal((await live("ssls", "site"))["cert"], site["cert"]);
    await answers('{ "hello": "world" }');
    await showsNothing();
  });

  it("serves a renewed certificate within seconds, without an update", async () => {
    const before = await live("ssls", "site");
    await renewGatewayLeaf();
    const after = await live("ssls", "site");
    ok(after["cert"] !== before["cert"]);
    same({ ...after, cert: "", labels: {} }, { ...before, cert: "", labels: {} });
    await answers('{ "hello": "world" }');
    await showsNothing();
  });

  it("keeps its endpoints while the renewer is killed, and renews again at once", async () => {
    const kubectl = (...args: string[]) => must("kubectl", ["--namespace", "mtls", ...args]);
    const gateway = async () => {
      const { items } = JSON.parse(await kubectl("get", "pods", "-l", outputs.gateway.selector, "-o", "json")) as Pods;
      return items.map(({ metadata, status }) => ({
        name: metadata.name,
        ready: status.conditions.find(({ type }) => type === "Ready"),
        renewer: status.initContainerStatuses.find(({ name }) => name === "renewer")?.restartCount,
      }));
    };
    const before = await gateway();
    same(
      before.map(({ ready, renewer }) => [ready?.status, renewer]),
      [["True", 0]],
    );
    const node = "for p in /proc/[0-9]*; do case $(readlink $p/exe) in */node) kill -9 ${p#/proc/};; esac; done";
    await kubectl("exec", "deploy/apisix", "-c", "renewer", "--", "sh", "-c", node);
    await renewGatewayLeaf();
    // Not even the time of its readiness has changed.
    same(await gateway(), before);
  });

  it("reads renewed leaves from files, without a restart", async () => {
    const restarts = async () => {
      const fields = "{range .items[*]}{.metadata.name} {.status.containerStatuses[*].restartCount}{end}";
      return must("kubectl", ["--namespace", "mtls", "get", "pods", "-o", `jsonpath=${fields}`]);
    };
    const before = await restarts();
    await renewLeaf("apisix-admin", outputs.admin);
    await renewLeaf("upstream-server", outputs.upstream.pods);
    await must("kubectl", ["--namespace", "mtls", "delete", "secret", "apisix-upstream"]);
    await answers('{ "hello": "world" }');
    await showsNothing();
    equal(await restarts(), before);
  });

  it("drops no request while the upstream rolls (case 25)", async () => {
    const kubectl = (...args: string[]) => must("kubectl", ["--namespace", "mtls", ...args]);
    const pods = async () => (await kubectl("get", "pods", "-l", outputs.upstream.pods.selector, "-o", "name")).trim();
    const before = await pods();
    const failed: unknown[] = [];
    let [rolling, asked] = [true, 0];
    const load = [1, 2, 3, 4].map(async () => {
      for (; rolling; asked += 1) {
        const answer = await fromGateway().catch((error: Error) => error.message);
        if (typeof answer === "string" || answer.status !== 200) failed.push(answer);
      }
    });
    await kubectl("rollout", "restart", "deploy/upstream");
    await eventually("the old pod is gone", async () => !(await pods()).includes(before), true);
    rolling = false;
    await Promise.all(load);
    same(failed, []);
    ok(asked > 20);
  });

  it("refuses a client within seconds once it is off the list, on connections that it holds too, and serves the others", async () => {
    const file = await configWith((config) => {
      // The identity that verify makes leaves for stands for a client on the list whose leaf the platform does not issue.
      config["mtls-everywhere:gateway"] = { host: "upstream", clients: ["curl", "shop"], allow: ["mtls/verify"] };
    });
    const listed = changes(await must("pulumi", up, { PULUMI_OPTION_CONFIG_FILE: file }));
    const created = [
      "CertificateRequestPolicy client-shop-policy",
      "Certificate client-shop",
      "Certificate client-shop",
    ];
    same({ ...listed, create: listed["create"]?.sort() }, { create: created.sort(), update: ["ApisixRoute hello"] });
    const admitted = await seenByVerify();
    // A leaf of the list's, copied before the update that takes its name off: the update deletes its Secret, not this.
    const [shop, curl] = [await keptClient("client-shop"), await keptClient("client-curl")];
    await eventually("the new client's answer", shop.statuses, [200, 200]);
    const seen: { readonly at: number; readonly shop: number[]; readonly curl: number[] }[] = [];
    let watching = true;
    const watch = (async () => {
      for (; watching; await sleep(100)) {
        const [ofShop, ofCurl] = await Promise.all([shop.statuses(), curl.statuses()]);
        seen.push({ at: Date.now(), shop: ofShop, curl: ofCurl });
      }
    })();
    const { update } = changes(await must("pulumi", up));
    await sleep(1_000);
    watching = false;
    await watch;
    for (const client of [shop, curl]) client.close();
    same(update, ["ApisixRoute hello"]);
    same([shop.opened(), curl.opened()], [1, 1]);
    same(
      seen.filter((look) => look.curl.some((status) => status !== 200)),
      [],
    );
    const refused = seen.findIndex(({ shop: [kept, fresh] }) => kept === 403 && fresh === 403);
    ok(refused > 0, JSON.stringify(seen));
    same([...new Set(seen.slice(refused).flatMap((look) => look.shop))], [403]);
    // The server's own time of the write, in whole seconds.
    const written = Number((await behindItsBack((admin) => admin.get("routes", "hello")))!["update_time"]);
    const after = seen[refused]!.at / 1_000 - written;
    console.log(`      refused at most ${after.toFixed(1)} s after the route was written`);
    ok(after < 5);
    // In the matrix, the cells of the other name that came off the list have turned into refusals, and no others.
    const turned = (await seenByVerify()).flatMap((now, index) => {
      const was = admitted[index];
      return was === now ? [] : [[was, now]];
    });
    const cell = (version: string, seen: string) => `gateway: certificate of another identity, TLS ${version}: ${seen}`;
    same(
      turned,
      ["1.3", "1.2"].map((version) => [cell(version, "200"), cell(version, "403 Client Not Allowed")]),
    );
    await showsNothing();
  });

  it("answers on a second host with its own upstream, brought up by two statements in index.ts", async () => {
    const program = dirname(writeSecondSite(inLabFolder("second-site")));
    const { create = [], ...others } = changes(await must("pulumi", [...up, "--cwd", program]));
    same(others, {});
    ok(
      ["Site orders", "NginxUpstream orders", "NetworkPolicy orders-from-apisix"].every((one) => create.includes(one)),
    );
    await eventually("the second host's answer", async () => (await fromGateway(second.host)).text.trim(), second.body);
    await answers('{ "hello": "world" }');
    same(Object.keys(changes(await must("pulumi", up))), ["delete"]);
    await showsNothing();
  });

  it("refuses an unknown configuration key, and changes nothing", async () => {
    const file = await configWith((config) => (config["mtls-everywhere:upstreem"] = {}));
    await refuses({ PULUMI_OPTION_CONFIG_FILE: file }, [
      "The configuration in Pulumi.dev.yaml is invalid:",
      "upstreem: is not a known key; remove it or correct its spelling",
      "Nothing was changed.",
    ]);
  });

  it("refuses a cluster that does not answer, and changes nothing", async () => {
    const port = await closedPort();
    const kubeconfig = inLabFolder("closed.kubeconfig");
    const text = readFileSync(inLabFolder("kubeconfig"), "utf8");
    writeFileSync(kubeconfig, text.replace(/server: .*/, `server: https://127.0.0.1:${port}`), { mode: 0o600 });
    await refuses({ KUBECONFIG: kubeconfig }, [
      "The Kubernetes cluster cannot be used: ",
      `https://127.0.0.1:${port}: ECONNREFUSED`,
      "Nothing was changed.",
    ]);
  });

  it("says which Secret is missing, changes nothing, and recovers", async () => {
    const kubectl = (...args: string[]) => must("kubectl", ["--namespace", "mtls", ...args]);
    await kubectl("delete", "certificate", "gateway", "--cascade=foreground");
    await kubectl("delete", "secret", "gateway", "--ignore-not-found");
    await refuses({}, ["Secret mtls/gateway does not exist."]);
    // Traffic is not affected: the gateway has its own copy.
    await answers('{ "hello": "world" }');
    // The engine also counts its dependents as changed.
    same(changes(await must("pulumi", refresh))["delete"], ["Certificate gateway"]);
    // The gateway's renewer puts the new leaf in place of the old one.
    same(changes(await must("pulumi", up)), { create: ["Certificate gateway"] });
    await answers('{ "hello": "world" }');
    await showsNothing();
  });

  it("says which image does not start, while the old pods keep answering", async () => {
    const file = await configWith((config) => {
      config["mtls-everywhere:readyTimeout"] = "15s";
      config["mtls-everywhere:upstream"] = {
        ...(config["mtls-everywhere:upstream"] as object),
        image: "docker.io/library/nginx:0.0.0",
      };
    });
    const { code, output } = await run("pulumi", ["up", "--yes", "--skip-preview"], {
      PULUMI_OPTION_CONFIG_FILE: file,
    });
    ok(code > 0, output);
    match(output, /Deployment \(upstream\)/);
    match(output, /containers with unready status: \[nginx\].*(ErrImagePull|ImagePullBackOff).*nginx:0\.0\.0/);
    const early = output.search(/image docker\.io\/library\/nginx:0\.0\.0 cannot be pulled/);
    ok(early >= 0 && early < output.search(/timed out waiting/), `case 24: said in seconds\n${output}`);
    await answers('{ "hello": "world" }');
    await must("pulumi", up);
  });

  it("warns early that nothing assigns the gateway an address, and creates the rest meanwhile (case 26)", async () => {
    const file = await configWith((config) => {
      config["mtls-everywhere:readyTimeout"] = "15s";
      config["mtls-everywhere:gateway"] = { host: "upstream", clients: ["curl", "late"], serviceType: "LoadBalancer" };
    });
    const { code, output } = await run("pulumi", ["up", "--yes", "--skip-preview"], {
      PULUMI_OPTION_CONFIG_FILE: file,
    });
    ok(code > 0, output);
    match(output, /Service mtls\/apisix has no external address yet: waiting for up to 15s\./);
    match(output, /error: Service mtls\/apisix got no external address within 15s\./);
    await must("kubectl", ["--namespace", "mtls", "get", "secret", "client-late"]);
    await answers('{ "hello": "world" }');
    await must("pulumi", up);
  });

  it("names what somebody has deleted, and recreates it with a single up --refresh (case 1)", async () => {
    const platform = { cluster: new Cluster(), lab: labFolder, settings: inLabFolder("Pulumi.dev.yaml"), run };
    const rows = await deletions(platform);
    const gateway = rows.find(({ name }) => name === "Deployment mtls/apisix")!;
    await gateway.act(platform);
    const { code, output } = await run("pulumi", ["up", "--yes", "--skip-preview"]);
    ok(code > 0, output);
    match(
      output,
      /There is no Deployment or StatefulSet \S+=apisix in namespace mtls\. Run pulumi up --refresh in the/,
    );
    await gateway.expect(platform);
    // Of all others two by chance: `make proofs` takes each.
    const seed = randomInt(2 ** 31);
    for (const row of draws(rows, 2, seed)) {
      console.log(`      ${row.name} (seed ${seed})`);
      await row.act(platform);
      await row.expect(platform);
    }
    await showsNothing();
  });

  it("still passes every check", async () => {
    const { code, output } = await run(process.execPath, ["tools/verify/cli.ts"]);
    equal(code, 0, output);
    await holdsNoPrivateKey();
  });

  it("rotates every plane's roots to another algorithm, and cuts nobody off", async function () {
    this.timeout(10 * minute);
    const rotation = new Rotation("Pulumi.rotated.yaml");
    const root = (active: string, ...trusted: string[]) =>
      rotation.edit("Pulumi.dev.yaml", { algorithm: "ECDSA-P384", root: { kind: "cluster", active, trusted } });
    const refused = async (words: RegExp) => {
      const { code, output } = await rotation.preview();
      ok(code > 0, output);
      match(output, words);
    };
    const before = outputs.roots;

    root("1", "1");
    await refused(/The roots of generation "1" were created with pki\.algorithm: ECDSA-P256/);
    root("2", "1", "2");
    await refused(/Generation "2" of the roots cannot become active: it was never prepared/);
    root("1", "1", "2");
    await rotation.goesTo("prepared");
    root("2", "1", "2");
    await rotation.goesTo("retirable");

    // Another team's leaf that has not followed.
    const leaf = inLabFolder("leaf.yaml");
    writeFileSync(
      leaf,
      stringify({
        ...{ apiVersion: "cert-manager.io/v1", kind: "Certificate", metadata: { name: "shop", namespace: "default" } },
        spec: {
          ...{ secretName: "shop", dnsNames: ["shop"], uris: ["spiffe://dev.mtls.internal/ns/default/sa/shop"] },
          duration: "24h",
          ...{ usages: ["server auth"], issuerRef: { kind: "ClusterIssuer", name: "mtls-upstream" } },
        },
      }),
    );
    await must("kubectl", ["apply", "-f", leaf]);
    root("2", "2");
    await refused(/cannot be retired yet\.[^]*Certificate default\/shop names the issuer of generation "1"/);
    await must("kubectl", ["delete", "-f", leaf]);
    await must("kubectl", ["--namespace", "default", "delete", "secret", "shop", "--ignore-not-found"]);
    await rotation.goesTo("settled");

    outputs = await readOutputs();
    for (const plane of planes) ok(outputs.roots[plane] !== before[plane] && outputs.roots[plane].length > 0);
    const secrets = await must("kubectl", ["get", "secrets", "--all-namespaces", "-o", "name"]);
    same(
      secrets
        .split("\n")
        .filter((name) => /-root$/.test(name))
        .sort(),
      ["admin-2", "etcd-2", "etcd-peer-2", "mtls-edge-2", "mtls-upstream-2"].map((name) => `secret/${name}-root`),
    );
    const { code, output } = await run("pulumi", ["preview", "--expect-no-changes"], rotation.config);
    equal(code, 0, output);
  });

  it("is destroyed without a trace in the cluster, what somebody deleted before included (case 1)", async function () {
    if (keep) this.skip();
    await must("kubectl", ["--namespace", "mtls", "delete", "deployment/apisix", "secret/apisix-env"]);
    const { code, output } = await run("pulumi", ["destroy", "--yes", "--skip-preview"]);
    equal(code, 0, output);
    const { deployment } = JSON.parse(await must("pulumi", ["stack", "export"])) as Export;
    same(deployment.resources ?? [], []);
    await eventually(
      "only the objects that were there before remain",
      async () => {
        const now = await allObjects();
        return {
          left: now.filter((object) => !objects.includes(object)),
          gone: objects.filter((object) => !now.includes(object)),
        };
      },
      { left: [], gone: [] },
    );
  });

  it("leaves no process, mount, link, cgroup or packet filter rule on the host", async function () {
    if (keep) this.skip();
    const traces = tracesOf(labFolder);
    // Each search finds something while the lab is up: only then does finding nothing mean anything.
    ok(traces.namespaces.length >= 3);
    ok(processesLeft(labFolder, traces).length > 10);
    ok(cgroupsLeft(traces).length > 0);
    match(packetFilter("lab", traces), /KUBE-/);
    doesNotMatch(packetFilter("host", traces), /KUBE-|CNI-/);
    await stopLab();
    // The kernel takes a moment to reap what was killed.
    await eventually("processes of the lab", async () => processesLeft(labFolder, traces), []);
    const left = { cgroups: cgroupsLeft(traces), folder: existsSync(labFolder), host: hostState() };
    same(left, { cgroups: [], folder: false, host });
  });

  // ---------- building blocks of the steps

  async function readOutputs(): Promise<PlatformOutputs> {
    return JSON.parse(await must("pulumi", ["stack", "output", "--json"])) as PlatformOutputs;
  }

  /** Has cert-manager reissue the gateway's leaf, and waits until it is served. */
  const renewGatewayLeaf = () => renewLeaf("gateway", outputs.gateway);

  async function renewLeaf(name: string, pods: PodPort): Promise<void> {
    const secret = { namespace: "mtls", name };
    const old = await new Cluster().certificate(secret);
    await must("kubectl", ["--namespace", "mtls", "delete", "secret", name]);
    const served = async () => {
      const cluster = new Cluster();
      const wanted = await cluster.certificate(secret);
      const [leaf] = await shownBy({ socket: await cluster.open(pods) }, pods.serverName);
      return wanted !== old && leaf?.fingerprint256 === certificatesOf(wanted)[0]?.fingerprint256;
    };
    await eventually("the renewed leaf is served", served, true);
  }

  async function showsNothing(): Promise<void> {
    const { code, output } = await run("pulumi", ["preview", "--expect-no-changes"]);
    equal(code, 0, output);
  }

  async function holdsNoPrivateKey(): Promise<void> {
    const { code, output } = await run(process.execPath, ["test/state/privateKeys.ts"]);
    equal(code, 0, output);
    match(output, /^\d\d+ resources, 0 declared and 0 undeclared private keys$/m);
  }

  /** A copy of the lab's configuration with a change. */
  async function configWith(change: (config: Record<string, unknown>) => void): Promise<string> {
    const file = inLabFolder("Pulumi.changed.yaml");
    const copy = parse(readFileSync(inLabFolder("Pulumi.dev.yaml"), "utf8")) as { config: Record<string, unknown> };
    change(copy.config);
    writeFileSync(file, stringify(copy));
    return file;
  }

  /** `pulumi up` fails with these words, and leaves state and gateway as they are. */
  async function refuses(environment: Record<string, string>, sentences: readonly string[]): Promise<void> {
    const before = await everything();
    const { code, output } = await run("pulumi", ["up", "--yes", "--skip-preview"], environment);
    ok(code > 0, output);
    for (const sentence of sentences) ok(output.includes(sentence), `no "${sentence}" in:\n${output}`);
    doesNotMatch(output, /^\s+at .*\(.*:\d+:\d+\)$/m, "there is a stack trace");
    const after = await everything();
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    same(
      names.filter((name) => before[name] !== after[name]),
      [],
    );
  }

  /** Every resource in the state and everything in the gateway, by name. */
  async function everything(): Promise<Record<string, string>> {
    const { deployment } = JSON.parse(await must("pulumi", ["stack", "export"])) as Export;
    // Each export encrypts secrets differently.
    const text = (value: unknown) =>
      JSON.stringify(value, (key, inner: unknown) => (key === "ciphertext" ? "" : inner));
    const found = (deployment.resources ?? []).map(({ urn, id, inputs }) => [urn, text({ id, inputs })]);
    for (const [kind, id] of [
      ["routes", "hello"],
      ["upstreams", "hello"],
      ["ssls", "site"],
    ] as const)
      found.push([`${kind}/${id}`, text(await live(kind, id))]);
    return Object.fromEntries(found) as Record<string, string>;
  }

  async function live(kind: "routes" | "upstreams" | "ssls", id: string): Promise<Record<string, unknown>> {
    const body = await behindItsBack((admin) => admin.get(kind, id));
    ok(body, `${kind}/${id} is not there`);
    const { create_time: _, update_time: __, ...spec } = body;
    return spec;
  }

  async function behindItsBack<T>(act: (admin: AdminClient) => Promise<T>): Promise<T> {
    const access = new Cluster();
    try {
      return await act(await adminClient(access, outputs.admin));
    } finally {
      await closeSessions(access);
    }
  }

  /** What a client with the edge certificate gets. */
  async function fromGateway(host = outputs.gateway.serverName): Promise<{ status: number; text: string }> {
    const cluster = new Cluster();
    const pair = await cluster.keyPair({ namespace: "mtls", name: "client-curl" });
    const ca = await cluster.trustBundle(outputs.gateway.trust);
    const gateway = { ...outputs.gateway, serverName: host };
    return ask(cluster, gateway, { ca, pair }, { path: "/" }, AbortSignal.timeout(10_000));
  }

  /** A client that asks on one connection that it keeps, and on a new one, with the leaf that it has now. */
  async function keptClient(name: string) {
    const cluster = new Cluster();
    const pair = await cluster.keyPair({ namespace: "mtls", name });
    const client = { ca: await cluster.trustBundle(outputs.gateway.trust), pair };
    let opened = 0;
    const connection = new Transport((signal) => {
      opened += 1;
      return cluster.connect(outputs.gateway, client, signal);
    }, 1);
    const request = { path: "/", headers: { host: outputs.gateway.serverName } };
    return {
      opened: () => opened,
      close: () => connection.close(),
      statuses: async (): Promise<number[]> => {
        const kept = await connection.send(request, AbortSignal.timeout(10_000));
        const fresh = await ask(cluster, outputs.gateway, client, request, AbortSignal.timeout(10_000));
        return [kept.status, fresh.status];
      },
    };
  }

  /** Each cell of verify's matrix, and what was seen there, right or wrong. */
  async function seenByVerify(): Promise<string[]> {
    const { stdout } = await run(process.execPath, ["tools/verify/cli.ts", "--json"]);
    return (JSON.parse(stdout) as Report).checks.map((check) => `${check.hop}: ${check.case}: ${check.observed}`);
  }

  /** Without the route, what refuses everyone else is left. */
  async function finds403(): Promise<void> {
    await eventually("the gateway without the route", async () => (await fromGateway()).status, 403);
  }

  async function answers(body: string): Promise<void> {
    await eventually("the gateway's answer", async () => (await fromGateway()).text.trim(), body);
  }
});

interface Pods {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly status: {
      readonly conditions: readonly {
        readonly type: string;
        readonly status: string;
        readonly lastTransitionTime: string;
      }[];
      readonly initContainerStatuses: readonly { readonly name: string; readonly restartCount: number }[];
    };
  }[];
}

interface Export {
  readonly deployment: {
    readonly resources?: readonly { readonly urn: string; readonly id?: string; readonly inputs?: unknown }[];
  };
}

/** What Kubernetes creates at its own pace, in its own namespaces and in every new one. */
const kubernetesOwn = /^(ServiceAccount kube-system .*|ServiceAccount \S+ default|ConfigMap \S+ kube-root-ca\.crt)$/;
const changing = /^(events|leases|endpointslices|endpoints|componentstatuses)(\.|$)/;

/** Kind, namespace and name of every other object in the cluster. */
async function allObjects(): Promise<string[]> {
  const kinds = (await must("kubectl", ["api-resources", "--verbs=list", "-o", "name"])).trim().split("\n");
  const lasting = kinds.filter((kind) => !changing.test(kind)).join(",");
  const columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name";
  const list = await must("kubectl", ["get", lasting, "--all-namespaces", "--no-headers", "-o", columns]);
  const objects = list
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).join(" "));
  return objects.filter((object) => !kubernetesOwn.test(object)).sort();
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Keeps looking until the value is as expected, for a minute at most, then compares. */
async function eventually<T>(what: string, look: () => Promise<T>, expected: T): Promise<void> {
  for (const end = Date.now() + minute; ; await sleep(500)) {
    const seen = await look().catch((error: Error) => error);
    try {
      same(seen, expected);
      return;
    } catch (error) {
      if (Date.now() > end) throw Object.assign(error as Error, { message: `${what}: ${(error as Error).message}` });
    }
  }
}

function withoutLabels({ labels: _, ...spec }: Record<string, unknown>): Record<string, unknown> {
  return spec;
}
