// A cert-manager that the stack has installed: it is not deleted by the way, and can be handed over.

import { deepStrictEqual as same, rejects } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { Cluster } from "../../cluster-access/cluster.ts";
import { Transient } from "../../cluster-access/errors.ts";
import { CertManager, keepInstalled } from "../../components/certManager.ts";
import { parseConfig } from "../../config.ts";
import { KubernetesApi } from "../support/kubernetesApi.ts";

const args = (values: object) => parseConfig({ trustDomain: "dev.internal", certManager: values }, "dev").certManager;

describe("a cert-manager of the stack's own (case 2)", () => {
  let api: KubernetesApi;

  before(async () => {
    api = await KubernetesApi.start("uid");
  });

  after(() => api.stop());

  it("is not deleted because an installed one is to be used, until it was told to stay", async () => {
    await registered({});
    const cluster = new Cluster({ kubeconfig: api.kubeconfig });
    const labelled = (labels: object) => {
      api.answers.set("namespaces/cert-manager", { metadata: { labels } });
      return keepInstalled(cluster, args({ install: false }));
    };
    const own = { "mtls-everywhere/stack": "dev" };
    await rejects(labelled(own), /^Error: The cert-manager in namespace cert-manager is this stack's own/);
    await labelled({ ...own, "mtls-everywhere/kept": "true" });
    await labelled({ "mtls-everywhere/stack": "prod" });
    await labelled({});
    // Not there, or nothing that this user could have made.
    for (const status of [404, 403]) {
      api.answers.set("namespaces/cert-manager", status);
      await keepInstalled(cluster, args({ install: false }));
    }
    api.answers.set("namespaces/cert-manager", 503);
    await rejects(keepInstalled(cluster, args({ install: false })), Transient);
    await keepInstalled(cluster, args({}));
  });

  it("stays, with its namespace, when it was told to: by what the state then says of both", async () => {
    const kept = { "pod-security.kubernetes.io/enforce": "restricted", "mtls-everywhere/kept": "true" };
    same(await registered({ keep: true }), [
      { name: "cert-manager-namespace", retained: true, labels: kept },
      { name: "cert-manager-release", retained: true, labels: undefined },
    ]);
    same(
      (await registered({})).map(({ retained }) => retained),
      [false, false],
    );
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
  const manager = new CertManager("cert-manager", args(values));
  await new Promise((known) => manager.urn.apply(known));
  for (let count = -1; count !== labels.size; await new Promise((later) => setTimeout(later, 50))) count = labels.size;
  return found
    .filter(({ name }) => name !== "cert-manager")
    .map((resource) => ({ ...resource, labels: labels.get(resource.name) }));
}

interface Monitor {
  registerResource(request: { getName(): string; getRetainondelete(): boolean }, answered: unknown): void;
}
