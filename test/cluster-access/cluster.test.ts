// What a failed port-forward is, and which kubeconfig is read: the same one as by kubectl and the Kubernetes provider, or two clusters
// would be involved.

import { deepStrictEqual as same, rejects, strictEqual as equal } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Cluster } from "../../cluster-access/cluster.ts";
import { contexts } from "../components/clusterStack.ts";
import { KubernetesApi, kubeconfigFor } from "../support/kubernetesApi.ts";

describe("a port-forward", () => {
  it("to a port where nothing listens is a failure that another try may outlast, whenever it is told", async () => {
    const api = await KubernetesApi.start("uid");
    const cluster = new Cluster({ kubeconfig: api.kubeconfig });
    const to = { namespace: "mtls", selector: "", pod: "etcd-0", port: 2379, serverName: "etcd.test" };
    for (let tries = 0; tries < 20; tries += 1) {
      await rejects(cluster.connect(to, { ca: "" }), {
        name: "Error",
        message: "port-forward to mtls/etcd-0:2379: connection refused",
      });
    }
    await api.stop();
  });
});

describe("the kubeconfig", () => {
  const folder = mkdtempSync(join(tmpdir(), "kubeconfig-"));
  const { HOME, KUBECONFIG } = process.env;
  /** A file with contexts of these names, each for a server on this port. */
  const file = (name: string, ports: Readonly<Record<string, number>>) => {
    const path = join(folder, name);
    const texts = Object.entries(ports).map(([context, port]) => [context, kubeconfigFor(port)]);
    writeFileSync(path, contexts(Object.fromEntries(texts) as Record<string, string>));
    return path;
  };
  afterEach(() => {
    for (const [name, value] of Object.entries({ HOME, KUBECONFIG })) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
  after(() => rmSync(folder, { recursive: true }));

  it("is found in the home directory, as by the provider", () => {
    file("config", { one: 1 });
    process.env.HOME = folder;
    equal(new Cluster({ kubeconfig: "~/config" }).config.getCurrentCluster()?.server, "https://localhost:1");
  });

  it("may be several files: the first to name something wins, and missing ones are skipped", () => {
    const files = [file("first", { one: 1, both: 2 }), join(folder, "missing"), file("second", { two: 3, both: 4 })];
    process.env.KUBECONFIG = files.join(":");
    const { config } = new Cluster();
    equal(config.getCurrentContext(), "one");
    same(
      config.getClusters().map(({ name, server }) => [name, server]),
      [
        ["one", "https://localhost:1"],
        ["both", "https://localhost:2"],
        ["two", "https://localhost:3"],
      ],
    );
    process.env.KUBECONFIG = files.reverse().join(":");
    equal(new Cluster().config.getCurrentContext(), "two");
  });
});
