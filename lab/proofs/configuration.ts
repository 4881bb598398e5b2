/** Every key of the configuration, changed on a running platform under load: what the next `up` does, and what clients notice. */
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse, parseDocument } from "yaml";
import { z } from "zod";
import { platformSchema } from "../../config.ts";
import { apisixImage, etcdImage, mirrored, nginxImage, nodeImage } from "../images.ts";
import { errorsOf } from "../soak/platform.ts";
import type { Numbers } from "../soak/tally.ts";
import type { Change, Values } from "./change.ts";
import { foreignCertificates } from "./foreignCertificates.ts";
import { underLoad } from "./load.ts";
import { must, type Row, type RunningPlatform, type Seen, verified } from "./row.ts";
import { updated } from "./up.ts";

/** One row for each change. The platform has roots held in the state, whose settings are a superset. */
export async function configuration(platform: RunningPlatform): Promise<Row[]> {
  const { config } = parse(await readFile(platform.settings, "utf8")) as {
    config: { "mtls-everywhere:certManager": Charts };
  };
  const copy = join(dirname(platform.settings), "chart");
  return changes(config["mtls-everywhere:certManager"], copy).map((change) => ({
    name: `${change.key}: ${change.to}`,
    act: async () => {}, // only once the load runs
    expect: (on) => proved(on, change),
  }));
}

/** Where the charts are. */
interface Charts {
  readonly chart: string;
  readonly approver: { readonly chart: string };
}

/** @param copy where a chart can be copied to */
function changes({ chart, approver }: Charts, copy: string): readonly Change[] {
  const change = (key: string, to: unknown, more: Partial<Change> = {}): Change => ({
    ...{ key, to: JSON.stringify(to), values: { [key]: to } },
    ...more,
  });
  const refused = (key: string, to: unknown, words: RegExp, more: Partial<Change> = {}) =>
    change(key, to, { refused: words, ...more });
  const image = (key: string, name: string) => change(key, mirrored(name), { to: "the same image from a mirror" });
  const copied = (key: string, from: string) =>
    change(key, copy, {
      to: "a copy of the same chart",
      prepare: () => cp(from, copy, { recursive: true }),
      tidy: () => rm(copy, { recursive: true }),
    });
  const monitored = { ...operator, given: { "monitoring.install": true } };
  return [
    refused("trustDomain", "other.mtls.internal", /created with trustDomain: [\w.]+\w/),
    refused("namespace", "elsewhere", /runs in namespace mtls, and a platform cannot be moved/),
    change("readyTimeout", "6m"),
    refused("certManager.install", false, /would delete it together with its namespace/),
    change("certManager.version", "v1.21.1", { to: '"v1.21.1", with a chart in a folder, which has its own version' }),
    refused("certManager.namespace", "elsewhere", /where this stack installed it, and cannot be moved/),
    copied("certManager.chart", chart),
    change("certManager.keepCrds", true),
    change("certManager.keep", true),
    change("certManager.approver.install", false),
    change("certManager.approver.version", "v0.27.0", {
      to: '"v0.27.0", with a chart in a folder, which has its own version',
    }),
    copied("certManager.approver.chart", approver.chart),
    refused("pki.root.kind", "cluster", /created with pki\.root\.kind: stateHeld/, {
      values: { "pki.root": { kind: "cluster", active: "2026", trusted: ["2026"] } },
    }),
    refused("pki.root.active", "2027", /was never prepared/, {
      values: { "pki.root.active": "2027", "pki.root.trusted": ["2026", "2027"] },
    }),
    change("pki.root.trusted", ["2026", "2027"]),
    change("pki.root.protect", false),
    change("pki.root.intermediateDuration", "4380h"),
    refused("pki.algorithm", "ECDSA-P384", /created with pki\.algorithm: ECDSA-P256/),
    change("pki.leafDuration", "48h"),
    refused("pki.rootDuration", "43800h", /created with pki\.rootDuration: 87600h/),
    refused("etcd.replicas", 5, /members are added and removed one at a time/),
    refused("etcd.storage", "2Gi", /a StatefulSet's claims cannot be changed/),
    refused("etcd.storageClass", "fast", /a StatefulSet's claims cannot be changed/),
    refused("etcd.keepData", true, /cannot be true while the stack owns its namespace/, {
      values: { createNamespace: true, "etcd.keepData": true },
    }),
    change("etcd.keepData", undefined, { to: "unset" }),
    change("etcd.users", ["1", "2"]),
    image("etcd.image", etcdImage),
    change("apisix.replicas", 3),
    change("apisix.keyring", ["1", "2"]),
    refused("apisix.keyring", ["2"], /(?<=apisix\.keyring: )[^.]+/),
    change("apisix.adminKeys", ["1", "2"]),
    change("apisix.adminClients", ["ops"]),
    image("apisix.image", apisixImage),
    image("apisix.renewerImage", nodeImage),
    change("gateway.host", "other", { ends: { what: "the former host", reason: /^alert |^answer 40[34]$/ } }),
    ...foreignCertificates,
    change("gateway.clients", ["curl", "other"]),
    change("gateway.clients", ["other"], { ends: { what: "client curl", reason: /^answer 403$/ } }),
    change("gateway.allow", ["web/cart"]),
    change("gateway.hosts", ["shop/shop.example.com"]),
    change("gateway.serviceType", "LoadBalancer", { meanwhile: assignAddress }),
    change("gateway.serviceAnnotations", { "example.com/internal": "true" }),
    change("gateway.plainHttp.serve", ["foo.example"]),
    change("gateway.plainHttp.redirect", ["upstream"]),
    image("upstream.image", nginxImage),
    change("upstream.files", { "index.json": '{ "hello": "again" }' }),
    refused("monitoring.install", true, /needs the Prometheus operator's CRDs/),
    change("monitoring.install", true, { to: "true, with the Prometheus operator", ...operator }),
    change("monitoring.namespace", "prometheus", monitored),
    change("monitoring.labels", { release: "prometheus" }, monitored),
    change("createNamespace", false, { stays: true }),
    refused("createNamespace", true, /cannot take over a namespace that exists/, {
      ...{ to: "true, after false", given: { createNamespace: false }, stays: true },
    }),
  ];
}

/** Every key of the configuration, as a path. */
export function configurationKeys(): string[] {
  return leavesOf(z.toJSONSchema(platformSchema, { io: "input", unrepresentable: "any" }) as Node);
}

/** The keys that rows change. */
export const changedKeys = (): string[] => [
  ...new Set(changes({ chart: "", approver: { chart: "" } }, "").map(({ key }) => key)),
];

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
}

function leavesOf(node: Node): string[] {
  const inner = [node, ...(node.anyOf ?? []), ...(node.oneOf ?? [])].flatMap(({ properties = {} }) =>
    Object.entries(properties),
  );
  const paths = inner.flatMap(([name, child]) => {
    const below = leavesOf(child);
    return below.length === 0 ? [name] : below.map((path) => `${name}.${path}`);
  });
  return [...new Set(paths)];
}

/** Applies a change under load, and takes it back. Throws what is wrong. */
async function proved(platform: RunningPlatform, change: Change): Promise<Seen> {
  const { given, prepare, tidy, refused, stays } = change;
  const first = await readFile(platform.settings, "utf8");
  let base = first;
  try {
    await prepare?.(platform);
    if (given !== undefined) {
      await configure(platform, first, given);
      await updated(platform);
      if (stays) base = await readFile(platform.settings, "utf8");
    }
    const values = typeof change.values === "function" ? await change.values(platform) : change.values;
    await configure(platform, first, { ...given, ...values });
    if (refused !== undefined) return await refusedAtPreview(platform, refused);
    return await underLoad(platform, async (numbers) => {
      const applied = await appliedNow(platform, change);
      if (stays) base = await readFile(platform.settings, "utf8");
      else {
        await writeFile(platform.settings, base);
        await updated(platform);
      }
      return { ...applied, traffic: judged(await numbers(), change) };
    });
  } finally {
    await writeFile(platform.settings, base);
    await tidy?.(platform);
  }
}

async function appliedNow(platform: RunningPlatform, { meanwhile }: Change): Promise<Seen> {
  const over = new AbortController();
  const others = meanwhile?.(platform, over.signal);
  const seen = await updated(platform).finally(() => over.abort());
  await others;
  await verified(platform);
  return seen;
}

async function refusedAtPreview(platform: RunningPlatform, words: RegExp): Promise<Seen> {
  const start = performance.now();
  const { code, output } = await platform.run("pulumi", ["preview", "--non-interactive"]);
  const seconds = (performance.now() - start) / 1000;
  if (code === 0) throw new Error("pulumi preview accepts it");
  const [said] = words.exec(output) ?? [];
  if (said === undefined) throw new Error(`it is refused in other words: ${errorsOf(output)}`);
  return { changes: { refused: said }, seconds, traffic: "nothing" };
}

/** What clients noticed, in words. Throws if it is not what the change means. */
function judged({ done, failed, reasons }: Numbers, { ends }: Change): string {
  const all = Object.entries(reasons).map(([reason, count]) => `${count} x ${reason}`);
  if (ends === undefined) {
    if (failed > 0 || done === 0) throw new Error(`${failed} of ${done + failed} requests failed: ${all.join(", ")}`);
    return `nothing (${done} requests)`;
  }
  const others = Object.keys(reasons).filter((reason) => !ends.reason.test(reason));
  if (failed === 0 || others.length > 0) throw new Error(`requests fail otherwise than expected: ${all.join(", ")}`);
  return `${ends.what} is refused: ${Object.keys(reasons).join(", ")}`;
}

async function configure(platform: RunningPlatform, base: string, values: Values): Promise<void> {
  const file = parseDocument(base);
  for (const [path, value] of Object.entries(values)) {
    const [first = "", ...rest] = path.split(".");
    const at = ["config", `mtls-everywhere:${first}`, ...rest];
    if (value === undefined) file.deleteIn(at);
    else file.setIn(at, file.createNode(value));
  }
  await writeFile(platform.settings, file.toString());
}

/** As a cloud's controller would, once the Service asks for an address. */
async function assignAddress(platform: RunningPlatform, over: AbortSignal): Promise<void> {
  const status = JSON.stringify({ status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } } });
  const service = ["service", "apisix", "--namespace", "mtls"];
  while (!over.aborted) {
    const { stdout } = await platform.run("kubectl", ["get", ...service, "-o", "jsonpath={.spec.type}"]);
    if (stdout === "LoadBalancer") {
      return void (await must(
        platform,
        "kubectl",
        "patch",
        ...service,
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
      ));
    }
    await sleep(500);
  }
}

const operatorKinds = ["PrometheusRule", "PodMonitor"].map((kind) => {
  const plural = `${kind.toLowerCase()}s`;
  return {
    ...{ apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition" },
    metadata: { name: `${plural}.monitoring.coreos.com` },
    spec: {
      group: "monitoring.coreos.com",
      scope: "Namespaced",
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [
        {
          ...{ name: "v1", served: true, storage: true },
          schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
        },
      ],
    },
  };
});

/** The kinds of the Prometheus operator, as far as the platform uses them; nothing acts on their objects. */
const operator = {
  async prepare(platform: RunningPlatform): Promise<void> {
    const file = join(platform.lab, "operator.json");
    await writeFile(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: operatorKinds }));
    await must(platform, "kubectl", "apply", "-f", file);
    await must(platform, "kubectl", "wait", "--for=condition=Established", "-f", file, "--timeout=1m");
  },
  async tidy(platform: RunningPlatform): Promise<void> {
    await must(platform, "kubectl", "delete", "crd", ...operatorKinds.map(({ metadata }) => metadata.name));
  },
};
