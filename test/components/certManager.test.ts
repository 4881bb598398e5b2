// A cert-manager that the platform has installed: it is not deleted by the way, and can be handed over.

import { deepStrictEqual as same, rejects } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { Cluster } from "../../cluster-access/cluster.ts";
import { Transient } from "../../cluster-access/errors.ts";
import { CertManager, keepInstalled } from "../../components/certManager.ts";
import { parseConfig } from "../../config.ts";
import { KubernetesApi } from "../support/kubernetesApi.ts";

const args = (values: object) => parseConfig({ trustDomain: "dev.internal", certManager: values }, "dev").certManager;

describe("a cert-manager of the platform's own (case 2)", () => {
  let api: KubernetesApi;

  before(async () => {
    api = await KubernetesApi.start("uid");
  });

  after(() => api.stop());

  it("is not deleted because another is to be used, until it was told to stay", async () => {
    const cluster = new Cluster({ kubeconfig: api.kubeconfig });
    const asked = (values: object, platform = "mtls") => keepInstalled(cluster, { ...args(values), platform });
    const refused = /^Error: The cert-manager in namespace cert-manager belongs to this platform/;
    const labelled = (labels: object) =>
      api.answers.set("namespaces", { items: [{ metadata: { name: "cert-manager", labels } }] });
    labelled({ "mtls-everywhere/platform": "mtls" });
    await asked({});
    await rejects(asked({ install: false }), refused);
    await rejects(asked({ namespace: "pki" }), refused);
    // Another platform's, one that nobody says is his, and one that this user could not have made.
    await asked({ install: false }, "shop");
    labelled({});
    await asked({ install: false });
    api.answers.set("namespaces", 403);
    await asked({ install: false });
    api.answers.set("namespaces", 503);
    await rejects(asked({ install: false }), Transient);
  });

  it("stays, with its namespace, when it was told to: by what the state then says of both", async () => {
    const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
    same(await registered({ keep: true }), [
      { name: "cert-manager-namespace", retained: true, labels },
      { name: "cert-manager-release", retained: true, labels: undefined },
    ]);
    same(await registered({}), [
      { name: "cert-manager-namespace", retained: false, labels: { ...labels, "mtls-everywhere/platform": "mtls" } },
      { name: "cert-manager-release", retained: false, labels: undefined },
    ]);
  });
});

/** What the component registers below itself with these values. */
async function registered(values: object) {
  const labels = new Map<string, unknown>();
  await pulumi.runtime.setMocks(
    {
      newResource({ name, inputs }) {
        labels.set(name, (inputs as { metadata?: { labels?: unknown } }).metadata?.labels);
        return { id: name, state: inputs as object };
      },
      call: () => ({}),
    },
    "mtls-everywhere",
    "dev",
  );
  const found: { name: string; retained: boolean }[] = [];
  const monitor = pulumi.runtime.getMonitor() as unknown as Monitor;
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, answered) => {
    found.push({ name: request.getName(), retained: request.getRetainondelete() });
    register(request, answered);
  };
  const manager = new CertManager("cert-manager", { ...args(values), platform: "mtls" });
  await new Promise((known) => manager.urn.apply(known));
  for (let count = -1; count !== labels.size; await new Promise((later) => setTimeout(later, 50))) count = labels.size;
  return found
    .filter(({ name }) => name !== "cert-manager")
    .map((resource) => ({ ...resource, labels: labels.get(resource.name) }));
}

interface Monitor {
  registerResource(request: { getName(): string; getRetainondelete(): boolean }, answered: unknown): void;
}
