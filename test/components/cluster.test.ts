// The connection to a cluster: what of it gets into the state, and which clusters are refused, under mocks and the real engine.

import { deepStrictEqual as same, match, ok, rejects, strictEqual as equal } from "node:assert/strict";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import * as pulumi from "@pulumi/pulumi";

import { connectCluster } from "../../components/cluster.ts";
import { KubernetesApi } from "../support/kubernetesApi.ts";
import { ClusterStack, contexts } from "./clusterStack.ts";

const [home, other] = ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"];
const refusal = (context: string) =>
  `The kubeconfig's context "${context}" points at cluster ${other}, but stack organization/mtls-everywhere/dev lives in cluster ${home}. ` +
  `Point KUBECONFIG or kubernetes:context at the right cluster.\n` +
  `Nothing was changed. If cluster ${home} is gone for good: node tools/recover/cli.ts -s organization/mtls-everywhere/dev --forget-cluster`;

describe("connecting to a cluster", () => {
  const apis: KubernetesApi[] = [];
  before(async () => {
    for (const uid of [home, other]) apis.push(await KubernetesApi.start(uid));
  });
  after(() => Promise.all(apis.map((api) => api.stop())));

  describe("under mocks", () => {
    /** What is registered with this kubeconfig in the configuration and this UID in the state. */
    const connected = async (
      kubeconfig: string,
      { lives, preview = false }: { lives?: string; preview?: boolean } = {},
    ) => {
      const registered: Record<string, Record<string, unknown>> = {};
      await pulumi.runtime.setMocks(
        {
          newResource: ({ type, name, inputs }) => {
            registered[`${type} ${name}`] = inputs as Record<string, unknown>;
            return { id: name, state: { ...(inputs as object), ...(lives ? { output: lives } : {}) } };
          },
          call: () => ({}),
        },
        "mtls-everywhere",
        "dev",
        preview,
        "organization",
      );
      pulumi.runtime.setAllConfig({ "kubernetes:kubeconfig": kubeconfig }, ["kubernetes:kubeconfig"]);
      const failure = await connectCluster("cluster").then(
        () => undefined,
        (error: Error) => error,
      );
      await new Promise((later) => setTimeout(later, 50));
      pulumi.runtime.setAllConfig({});
      return { registered, failure };
    };

    it("passes the kubeconfig on as a secret, and knows the cluster", async () => {
      const { registered, failure } = await connected(apis[0]!.kubeconfig);
      equal(failure, undefined);
      const { kubeconfig, ...inputs } = registered["pulumi:providers:kubernetes cluster"]!;
      same(inputs, { clusterIdentifier: home, enableConfigMapMutable: "true", enableSecretMutable: "true" });
      // As the engine's protocol writes a secret.
      same(Object.values(kubeconfig as object), ["1b47061264138c4ac30d75fd1eb44270", apis[0]!.kubeconfig]);
    });

    it("refuses a cluster other than the state's before anything but the record is registered", async () => {
      const { registered, failure } = await connected(apis[1]!.kubeconfig, { lives: home });
      ok(pulumi.RunError.isInstance(failure));
      equal(failure.message, refusal("here"));
      same(registered, { "pulumi:index:Stash cluster-uid": { input: other } });
    });

    it("proceeds in a preview without a record", async () => {
      const { registered } = await connected(apis[0]!.kubeconfig, { preview: true });
      ok("pulumi:providers:kubernetes cluster" in registered);
    });
  });

  describe("by the engine", function () {
    this.timeout(120_000);
    let stack: ClusterStack;
    before(async function () {
      const created = await ClusterStack.create();
      if (created === undefined) return this.skip();
      stack = created;
    });
    after(() => stack?.remove());

    /** The state without secrets, which each command encrypts differently. */
    const held = async () =>
      (await stack.resources()).map(({ urn, inputs }) => ({ urn, inputs: { ...inputs, kubeconfig: undefined } }));

    /** From now on KUBECONFIG has these contexts. */
    const use = (named: Readonly<Record<string, KubernetesApi>>) =>
      writeFileSync(
        stack.kubeconfig,
        contexts(Object.fromEntries(Object.entries(named).map(([name, api]) => [name, api.kubeconfig]))),
      );

    it("keeps no path in the state, so that another machine sees no change", async () => {
      use({ one: apis[0]! });
      const { code, stdout } = await stack.up();
      equal(code, 0, stdout);
      equal((await stack.resource("cluster")).inputs?.["kubeconfig"], "");
      const moved = join(stack.folder, "moved");
      renameSync(stack.kubeconfig, moved);
      const second = join(stack.folder, "second");
      writeFileSync(second, contexts({ two: apis[1]!.kubeconfig }));
      stack.kubeconfig = `${moved}:${second}`;
      await stack.must("preview", "--expect-no-changes");
    });

    it("remembers its cluster until a destroy reaches the provider", async () => {
      same((await stack.resource("cluster")).dependencies, [(await stack.resource("cluster-uid")).urn]);
    });

    it("refuses another cluster, whatever the command, and changes nothing", async () => {
      const before = await held();
      stack.kubeconfig = join(stack.folder, "kubeconfig");
      use({ two: apis[1]! });
      const root = (await stack.resource("root")).urn;
      for (const command of [
        ["preview"],
        ["preview", "--target", root],
        ["up", "--yes", "--skip-preview"],
        ["destroy", "--run-program", "--yes", "--skip-preview"],
      ]) {
        const { code, stdout } = await stack.pulumi(...command);
        ok(code !== 0, command.join(" "));
        ok(unindented(stdout).includes(refusal("two")), `${command.join(" ")}:\n${stdout}`);
      }
      same(await held(), before);
    });

    it("uses the context that the configuration names", async () => {
      use({ two: apis[1]!, one: apis[0]! });
      await stack.must("config", "set", "kubernetes:context", "one");
      const { code, stdout } = await stack.up();
      equal(code, 0, stdout);
    });

    it("keeps a secret kubeconfig secret in the state", async () => {
      rmSync(stack.kubeconfig);
      await stack.must("config", "rm", "kubernetes:context");
      await stack.must("config", "set", "--secret", "kubernetes:kubeconfig", apis[0]!.kubeconfig);
      const { code, stdout } = await stack.up();
      equal(code, 0, stdout);
      const { inputs, outputs } = await stack.resource("cluster");
      for (const kubeconfig of [inputs?.["kubeconfig"], outputs?.["kubeconfig"]]) {
        match((kubeconfig as { ciphertext?: string }).ciphertext ?? "", /^v1:/);
      }
    });
  });

  it("says which cluster cannot be used", async () => {
    pulumi.runtime.setAllConfig({ "kubernetes:kubeconfig": "/nowhere/kubeconfig" });
    await rejects(connectCluster("cluster"), /^Error: The Kubernetes cluster cannot be used: ENOENT/);
    pulumi.runtime.setAllConfig({});
  });
});

/** The engine indents each line of a message. */
function unindented(text: string): string {
  return text.replaceAll(/^ +/gm, "").replaceAll(/^error: /gm, "");
}
