// The command line against a real CLI's state and API servers on loopback: on which cluster it works, and when it refuses to.

import { deepStrictEqual as same, match, ok, strictEqual as equal } from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { PendingOperation } from "../../../tools/recover/plan.ts";
import { ClusterStack, contexts } from "../../components/clusterStack.ts";
import { KubernetesApi, type StoredObject } from "../../support/kubernetesApi.ts";

const [home, other] = ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"] as const;
const labels = { "mtls-everywhere/stack": "dev" };
const namespace: StoredObject = { kind: "Namespace", metadata: { name: "mtls", labels } };
const left: StoredObject = { kind: "ConfigMap", metadata: { name: "left", namespace: "mtls", labels } };
const record = (revision: number, status: string): StoredObject => ({
  kind: "Secret",
  metadata: {
    name: `sh.helm.release.v1.tool.v${revision}`,
    namespace: "mtls",
    labels: { owner: "helm", name: "tool", status, version: String(revision) },
  },
});

const operation = (type: string, resourceType: string, inputs: Record<string, unknown>): PendingOperation => ({
  type,
  resource: { urn: `urn:pulumi:dev::mtls-everywhere::${resourceType}::it`, type: resourceType, inputs },
});
const creating = operation("creating", "kubernetes:core/v1:ConfigMap", {
  ...{ apiVersion: "v1", kind: "ConfigMap" },
  metadata: { name: "left", namespace: "mtls" },
});

describe("tools/recover/cli.ts", function () {
  this.timeout(60_000);
  let stack: ClusterStack;
  let right: KubernetesApi;
  let wrong: KubernetesApi;

  before(async function () {
    const created = await ClusterStack.create();
    if (created === undefined) return this.skip();
    stack = created;
    [right, wrong] = [await KubernetesApi.start(home), await KubernetesApi.start(other)];
    use({ wrong, right });
    // The current context belongs to another cluster.
    await stack.must("config", "set", "kubernetes:context", "right");
    const { code, stdout } = await stack.up();
    equal(code, 0, stdout);
  });
  after(async () => {
    await Promise.all([right?.stop(), wrong?.stop()]);
    stack?.remove();
  });
  beforeEach(() => {
    for (const server of [right, wrong])
      server.hold(namespace, left, record(1, "deployed"), record(2, "pending-upgrade"));
  });

  const use = (named: Readonly<Record<string, KubernetesApi>>) =>
    writeFileSync(
      stack.kubeconfig,
      contexts(Object.fromEntries(Object.entries(named).map(([name, { kubeconfig }]) => [name, kubeconfig]))),
    );
  const recover = (...args: string[]) => stack.node("tools/recover/cli.ts", ...args);
  const everything = ["ConfigMap left", "Namespace mtls", ...[1, 2].map((n) => `Secret sh.helm.release.v1.tool.v${n}`)];

  /** The state as a killed engine leaves it; `stack import` would drop pending operations. */
  const killed = (...pending: readonly PendingOperation[]) => {
    const file = join(stack.folder, "state/.pulumi/stacks/mtls-everywhere/dev.json");
    const state = JSON.parse(readFileSync(file, "utf8")) as { checkpoint: { latest: Record<string, unknown> } };
    const custom = pending.map(({ type, resource }) => ({ type, resource: { ...resource, custom: true } }));
    state.checkpoint.latest["pending_operations"] = custom;
    writeFileSync(file, JSON.stringify(state));
  };
  const pending = async () =>
    (JSON.parse(await stack.must("stack", "export")) as { deployment: { pending_operations?: object[] } }).deployment
      .pending_operations?.length ?? 0;

  it("works on the cluster in the stack's configuration, however the stack is named", async () => {
    killed(creating);
    const { code, stdout, stderr } = await recover("-s", "organization/mtls-everywhere/dev");
    equal(code, 0, stderr);
    match(stdout, /^ {2}ConfigMap mtls\/left was created but never recorded: removed/m);
    same([right.held, wrong.held], [everything.filter((name) => name !== "ConfigMap left"), everything]);
    equal(await pending(), 0);
  });

  it("refuses another cluster before anything is removed", async () => {
    killed(creating);
    const { code, stderr } = await recover("-s", "dev", "--context", "wrong");
    equal(code, 1);
    equal(
      stderr,
      `The kubeconfig's context "wrong" points at cluster ${other}, but stack dev lives in cluster ${home}. ` +
        "Point KUBECONFIG or kubernetes:context at the right cluster.\n",
    );
    same([right.held, wrong.held, await pending()], [everything, everything, 1]);
  });

  it("removes nothing while the state is locked, and says how to unlock it", async () => {
    killed(creating);
    const locks = join(stack.folder, "state/.pulumi/locks/organization/mtls-everywhere/dev");
    mkdirSync(locks, { recursive: true });
    writeFileSync(
      join(locks, "of-another.json"),
      JSON.stringify({ pid: 1, username: "x", hostname: "y", timestamp: "2026-01-01T00:00:00Z" }),
    );
    const { code, stderr } = await recover("-s", "dev");
    equal(code, 1);
    equal(
      stderr,
      "The state of stack dev is locked: an update is running, or one was killed and left its lock behind. Nothing was changed. " +
        "If none is running on any machine, run pulumi cancel -s dev, then this command again.\n",
    );
    same([right.held, await pending()], [everything, 1]);
    await stack.must("cancel", "-s", "dev", "--yes");
    equal((await recover("-s", "dev")).code, 0);
  });

  it("clears a Helm release's killed upgrade, and keeps the deployed revision", async () => {
    killed(operation("updating", "kubernetes:helm.sh/v3:Release", { name: "tool", namespace: "mtls" }));
    const { code, stdout, stderr } = await recover("-s", "dev");
    equal(code, 0, stderr);
    match(stdout, /^ {2}Helm release mtls\/tool was partly upgraded: /m);
    same(right.held, ["ConfigMap left", "Namespace mtls", "Secret sh.helm.release.v1.tool.v1"]);
  });

  describe("for a lost cluster", () => {
    const fingerprint = async () => (await stack.resource("root")).outputs?.["publicKeyFingerprintSha256"];

    it("refuses while any context of the kubeconfig reaches it", async () => {
      await stack.must("config", "set", "kubernetes:context", "wrong");
      const { code, stderr } = await recover("-s", "dev", "--forget-cluster", "--yes");
      equal(code, 1);
      equal(
        stderr,
        `Cluster ${home}, where stack dev lives, still answers in kubeconfig context "right". Nothing was changed. ` +
          "To work there: pulumi config set kubernetes:context right. To take the platform down: pulumi destroy.\n",
      );
    });

    it("asks before it forgets", async () => {
      use({ wrong });
      const before = (await stack.resources()).length;
      const { code, stdout, stderr } = await recover("-s", "dev", "--forget-cluster");
      same([code, stderr], [1, "Nothing was changed. To proceed without confirmation, add --yes.\n"]);
      match(stdout, /^ {2}Its state keeps: {3}1 PrivateKey$/m);
      equal((await stack.resources()).length, before);
    });

    it("lets the next up create everything on another cluster, with the same root", async () => {
      const root = await fingerprint();
      const { code, stderr } = await recover("-s", "dev", "--forget-cluster", "--yes");
      equal(code, 0, stderr);
      const up = await stack.up();
      equal(up.code, 0, up.stdout);
      equal((await stack.resource("cluster")).inputs?.["clusterIdentifier"], other);
      equal(await fingerprint(), root);
      ok(root);
    });
  });
});
