// etcd from one member to three and back in a running lab, under load and Admin writes, with a lost volume and a
// restored snapshot in between.

import { deepStrictEqual as same, equal, match, notStrictEqual as differs, ok } from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";

import { CoreV1Api } from "@kubernetes/client-node";
import { parse, stringify } from "yaml";

import { adminClient, closeSessions } from "../../apisix-admin/session.ts";
import { Cluster } from "../../cluster-access/cluster.ts";
import { until } from "../../cluster-access/until.ts";
import { type Load, startLoad } from "../../lab/soak/requests.ts";
import { Writes } from "../../lab/soak/writes.ts";
import type { PlatformOutputs } from "../../outputs.ts";
import { inLabFolder, labFolder, must, run } from "./ownLab.ts";

/** Connections a second. */
const rate = 20;
const namespace = "mtls";

/** The steps; `env` names the configuration of the stack that is up, with one member. */
export function stepsOfMembers(env: { readonly PULUMI_OPTION_CONFIG_FILE: string }): void {
  const cluster = () => new Cluster();
  const core = () => cluster().config.makeApiClient(CoreV1Api);
  const etcd = (...args: string[]) => run(process.execPath, ["tools/etcd/cli.ts", ...args]);
  const outputs = async () => JSON.parse(await must("pulumi", ["stack", "output", "--json"])) as PlatformOutputs;
  const configure = (values: object) => {
    const file = parse(readFileSync(env.PULUMI_OPTION_CONFIG_FILE, "utf8")) as { config: Record<string, object> };
    file.config["mtls-everywhere:etcd"] = { ...file.config["mtls-everywhere:etcd"], ...values };
    writeFileSync(env.PULUMI_OPTION_CONFIG_FILE, stringify(file));
  };
  const refused = async (line: RegExp) => {
    const { code, output } = await run("pulumi", ["preview"], env);
    differs(code, 0);
    match(output, line);
  };
  /** The stack takes over the number of members that the command has scaled to, and nothing is left to do. */
  const settles = async (replicas: number) => {
    configure({ replicas });
    await must("pulumi", ["up", "--yes", "--skip-preview"], env);
    const { code, output } = await run(process.execPath, ["tools/verify/cli.ts"]);
    equal(code, 0, output);
    await must("pulumi", ["preview", "--expect-no-changes"], env);
  };
  let load: Load | undefined;
  let writes: Writes | undefined;

  before("requests and writes begin", async () => {
    const { gateway, admin } = await outputs();
    load = await startLoad({ cluster: cluster(), lab: labFolder }, gateway, rate);
    writes = new Writes(cluster(), admin);
    writes.start(gateway.serverName);
  });
  after(async () => {
    await load?.end();
    await writes?.stop();
  });

  it("refuse to change their number or volumes in an update (case 8, case 13)", async () => {
    configure({ replicas: 3, storage: "2Gi" });
    await refused(/etcd\.replicas: etcd has 1 member, .* Run node tools\/etcd\/cli\.ts scale 3 -s dev/);
    await refused(/etcd\.storage: the volumes were created with 1Gi/);
    configure({ replicas: 1, storage: "1Gi" });
  });

  it("grow to three (case 8)", async () => {
    const { code, output } = await etcd("scale", "3");
    equal(code, 0, output);
    await settles(3);
  });

  it("heal when a volume is lost (case 8)", async () => {
    const pod = { name: "etcd-1", namespace };
    const former = await core().readNamespacedPersistentVolumeClaim({ name: "data-etcd-1", namespace });
    await core().deleteNamespacedPersistentVolumeClaim({ name: "data-etcd-1", namespace });
    await core().deleteNamespacedPod(pod);
    const replaced = await until(
      async () => {
        const claim = await core()
          .readNamespacedPersistentVolumeClaim({ name: "data-etcd-1", namespace })
          .catch(() => undefined);
        return claim?.status?.phase === "Bound" && claim.metadata?.uid !== former.metadata?.uid;
      },
      { within: 60_000 },
    );
    ok(replaced, "the claim was not recreated");
    const status = await etcd("status");
    equal(status.code, 1, status.output);
    match(status.output, /etcd-1 (does not answer|is missing)/);
    match((await run("pulumi", ["preview"], env)).output, /etcd has 2 of 3 members ready/);
    const { code, output } = await etcd("replace", "etcd-1");
    equal(code, 0, output);
    await settles(3);
  });

  it("are restored from a snapshot (case 8)", async () => {
    const file = inLabFolder("snapshot.json");
    rmSync(file, { force: true });
    const at = cluster();
    const admin = await adminClient(at, (await outputs()).admin);
    await admin.put("routes", "kept", { uri: "/kept", upstream: { type: "roundrobin", nodes: { "127.0.0.1:9": 1 } } });
    const before = await admin.get("routes", "kept");
    const taken = await etcd("snapshot", file);
    equal(taken.code, 0, taken.output);
    await admin.delete("routes", "kept");
    const { code, output } = await etcd("restore", file, "--yes");
    equal(code, 0, output);
    const restored = await until(async () => (await admin.get("routes", "kept").catch(() => undefined)) as unknown, {
      within: 10_000,
    });
    same(restored, before);
    await admin.delete("routes", "kept");
    await closeSessions(at);
  });

  it("shrink to one, and no request and no write has failed (case 8)", async () => {
    const { code, output } = await etcd("scale", "1");
    equal(code, 0, output);
    await settles(1);
    const { arrivals } = await load!.call("numbers");
    const { done, failed, first, retries, took } = writes!.numbers;
    console.log(
      `      ${arrivals.done} requests, ${arrivals.failed} failed; ${done} writes, ${failed} failed, ${retries} tried again, ${took.max} s at most`,
    );
    same({ requests: arrivals.first, writes: first }, { requests: [], writes: [] });
  });
}
