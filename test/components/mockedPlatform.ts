// Runs index.ts under Pulumi's mocks for one environment: every resource that it registers, and what it exports.

/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment -- inputs are of any shape */

import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import * as pulumi from "@pulumi/pulumi";
import { parse } from "yaml";

import { stackLabelKey } from "../../components/stackLabel.ts";
import { readUrn } from "../../urn.ts";
import { Authority } from "../support/authorities.ts";
import { admissionKinds } from "../support/kubernetesApi.ts";

const checkout = resolve(import.meta.dirname, "../..");

/** UID of the cluster in these tests. */
export const clusterUid = "3f0c1a52-0000-4000-8000-000000000001";

const newRoot = async (name: string) => `${(await Authority.create(name)).root}\n`;

/** What stands in for every plane's root, in the first generation and in one called 2. */
export const rootPem = await newRoot("first");
export const secondPem = await newRoot("second");

/** Inputs as the engine gets them, of any shape. */
export type Inputs = any; // eslint-disable-line @typescript-eslint/no-explicit-any

export interface Registered {
  readonly type: string;
  readonly name: string;
  readonly inputs: Inputs;
  /** Name of the explicit provider, if any. */
  readonly provider: string;
  /** Its URN, and others under which a state may still have it. */
  readonly urns: readonly string[];
}

export interface Planned {
  readonly resources: readonly Registered[];
  readonly outputs: Readonly<Record<string, unknown>>;
}

export interface PlanOptions {
  /** The cluster's API server does not answer. */
  readonly unreachable?: boolean;
  /** A preview of the first update: nothing that providers compute is known, and there are no outputs. */
  readonly preview?: boolean;
  /** What the state remembers, by record name. Default: what the program says now. */
  readonly records?: Readonly<Record<string, unknown>>;
  /** Annotations of the gateway's running pods. Default: none. */
  readonly running?: readonly Readonly<Record<string, string>>[];
  /** The stack's outputs after its last `up`. Default: none. */
  readonly lastOutputs?: object;
  /** A file in the checkout to run instead of index.ts. */
  readonly program?: string;
  /** Outputs of the stack that a StackReference refers to. */
  readonly referenced?: object;
  /** What the cluster already has, by path. Default: only cert-manager's and the Prometheus operator's CRDs. */
  readonly there?: Readonly<Record<string, object>>;
  /** Called for each registered resource. */
  readonly onResource?: (name: string) => void;
}

let runs = 0;

/** Plans the platform with an environment's own file, replacing some of its keys. */
export async function plan(
  stack: string,
  changes: Readonly<Record<string, unknown>> = {},
  {
    unreachable = false,
    preview = false,
    records = {},
    running,
    lastOutputs = {},
    program,
    referenced,
    there,
    onResource,
  }: PlanOptions = {},
): Promise<Planned> {
  const resources: Registered[] = [];
  const urns = new Map<string, readonly string[]>();
  await pulumi.runtime.setMocks(
    {
      newResource({ type, name, inputs, provider }) {
        resources.push({
          type,
          name,
          inputs,
          provider: provider?.split("::").at(-2) ?? "",
          urns: urns.get(`${type} ${name}`) ?? [],
        });
        onResource?.(name);
        const made: Record<string, unknown> =
          type === "pulumi:index:Stash"
            ? { output: records[name] ?? (inputs.input as unknown) }
            : type === "pulumi:pulumi:StackReference"
              ? { outputs: referenced }
              : computed(type, name, inputs);
        if (!preview) return { id: `${name}-id`, state: { ...(inputs as object), ...made } };
        for (const property of Object.keys(made)) made[property] = pulumi.unknown;
        return { id: undefined, state: { ...(inputs as object), ...made } };
      },
      call: ({ token }) => (token === "pulumi:pulumi:readStackOutputs" ? { outputs: lastOutputs } : {}),
    },
    "mtls-everywhere",
    stack,
    preview,
    "organization",
  );
  const monitor = pulumi.runtime.getMonitor() as unknown as Monitor;
  noteUrns(monitor, urns);
  // Pulumi's mocks know no hooks of resources, and registering one would never end.
  monitor.registerResourceHook = (_request, answered) => answered(null, {});
  const { config } = parse(readFileSync(join(checkout, `Pulumi.${stack}.yaml`), "utf8")) as {
    config: Record<string, unknown>;
  };
  const values = { ...config };
  for (const [key, value] of Object.entries(changes)) values[`mtls-everywhere:${key}`] = value;
  const asText = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  pulumi.runtime.setAllConfig(Object.fromEntries(Object.entries(values).map(([key, value]) => [key, asText(value)])));

  const cluster = await answeringCluster(running, there);
  if (unreachable) cluster.stop();
  const { KUBECONFIG } = process.env;
  process.env.KUBECONFIG = cluster.kubeconfig;
  try {
    // The query makes it a separate module, which runs again.
    const module = `${program ?? join(checkout, "index.ts")}?run=${++runs}`;
    const exported = { ...((await import(module)) as Record<string, unknown>) };
    const outputs = preview ? {} : await settled(pulumi.output(exported));
    return { resources: await whenQuiet(resources), outputs };
  } finally {
    if (KUBECONFIG === undefined) delete process.env.KUBECONFIG;
    else process.env.KUBECONFIG = KUBECONFIG;
    pulumi.runtime.setAllConfig({});
    cluster.stop();
    cluster.remove();
  }
}

/** Notes each resource's URN and aliases by `type name`, as the mocks do not get them. */
function noteUrns(monitor: Monitor, urns: Map<string, readonly string[]>): void {
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, answered) => {
    const [type, name] = [request.getType(), request.getName()];
    const types = [...parentTypes(request.getParent()), type].join("$");
    const own = `urn:pulumi:${pulumi.getStack()}::${pulumi.getProject()}::${types}::${name}`;
    urns.set(`${type} ${name}`, [own, ...request.getAliasurnsList()]);
    register(request, answered);
  };
  // Normally the engine turns aliases into URNs.
  runtimeState.getStore().supportsAliasSpecs = false;
}

function parentTypes(urn: string): readonly string[] {
  return urn === "" ? [] : readUrn(urn).types.filter((type) => type !== "pulumi:pulumi:Stack");
}

const runtimeState = createRequire(import.meta.url)("@pulumi/pulumi/runtime/state") as {
  getStore(): { supportsAliasSpecs: boolean };
};

interface Monitor {
  registerResource(request: Registration, answered: unknown): void;
  registerResourceHook(request: unknown, answered: (error: null, response: object) => void): void;
}

interface Registration {
  getType(): string;
  getName(): string;
  getParent(): string;
  getAliasurnsList(): readonly string[];
}

/** What the real providers compute. Keys are generated, so that leaks are found. */
function computed(type: string, name: string, inputs: Registered["inputs"]): Record<string, unknown> {
  switch (type) {
    case "random:index/randomPassword:RandomPassword":
      return { result: `password-of-${name}` };
    case "tls:index/privateKey:PrivateKey":
      return {
        privateKeyPem: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
          type: "pkcs8",
          format: "pem",
        }),
      };
    case "tls:index/selfSignedCert:SelfSignedCert":
    case "tls:index/locallySignedCert:LocallySignedCert":
      return { certPem: pemOf(name) };
    case "tls:index/certRequest:CertRequest":
      return { certRequestPem: "request" };
    case "pulumi-nodejs:dynamic/mtls:RootCertificates":
      return { pem: pemOf(name) };
    case "kubernetes:helm.sh/v3:Release":
      return { status: { namespace: inputs.namespace as string } };
    default:
      return {};
  }
}

function pemOf(name: string): string {
  return name.split("-").includes("2") ? secondPem : rootPem;
}

/** An API server that knows its identity, its address and the gateway's pods, and a kubeconfig for it. */
async function answeringCluster(
  running: PlanOptions["running"] = [],
  there: PlanOptions["there"] = {},
): Promise<{ kubeconfig: string; stop(): void; remove(): void }> {
  const known: Readonly<Record<string, object>> = {
    "/api/v1/namespaces/kube-system": { kind: "Namespace", metadata: { uid: clusterUid } },
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes": {
      kind: "EndpointSlice",
      endpoints: [{ addresses: ["192.0.2.2"] }, { addresses: ["192.0.2.1"] }],
      ports: [{ name: "https", port: 6443 }],
    },
    ...Object.fromEntries([admissionKinds]),
    ...Object.fromEntries(
      ["cert-manager.io", "monitoring.coreos.com"].map((group) => [`/apis/${group}/v1`, { kind: "APIResourceList" }]),
    ),
    // Of prod's, which waits for it.
    "/api/v1/namespaces/mtls/services/apisix": {
      metadata: { labels: { [stackLabelKey]: pulumi.getStack() } },
      status: { loadBalancer: { ingress: [{ ip: "192.0.2.3" }] } },
    },
    ...there,
  };
  const pods = {
    kind: "PodList",
    items: running.map((annotations, index) => ({ metadata: { name: `pod-${index}`, annotations } })),
  };
  const server = createServer((request, response) => {
    const answer =
      known[request.url ?? ""] ?? (/\/namespaces\/[^/]+\/pods\?/.test(request.url ?? "") ? pods : undefined);
    response.writeHead(answer ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(answer ?? { kind: "Status" }));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const folder = mkdtempSync(join(tmpdir(), "kubeconfig-"));
  const kubeconfig = join(folder, "config");
  const named = (kind: string, value: object) => ({ name: "test", [kind]: value });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      ...{ apiVersion: "v1", kind: "Config", "current-context": "test" },
      clusters: [named("cluster", { server: url, "insecure-skip-tls-verify": true })],
      contexts: [named("context", { cluster: "test", user: "test" })],
      users: [named("user", {})],
    }),
  );
  return {
    kubeconfig,
    stop() {
      server.close();
      server.closeAllConnections();
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}

function settled<T>(output: pulumi.Output<T>): Promise<T> {
  return new Promise((done) => output.apply((value) => done(value)));
}

/** The resources, once no more are registered: those that no output depends on come last. */
async function whenQuiet(resources: Registered[]): Promise<readonly Registered[]> {
  for (let count = -1; count !== resources.length;) {
    count = resources.length;
    await new Promise((later) => setTimeout(later, 100));
  }
  return resources;
}
