// A tenant of the cluster: a namespace, a service account that may edit what is in it, and a pod that runs as it.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { stringify } from "yaml";

import { until } from "../../cluster-access/until.ts";
import { nodeImage } from "../../lab/images.ts";
import type { Attempt, Seen } from "./insidePod.ts";
import { inLabFolder, must } from "./ownLab.ts";

export const tenant = "tenant";

/** A leaf and its key. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

const program = readFileSync(join(import.meta.dirname, "insidePod.ts"), "utf8");
const metadata = { name: tenant, namespace: tenant };
const subjects = [{ kind: "ServiceAccount", ...metadata }];
const binding = (name: string, role: object, namespace = tenant) => ({
  ...{ apiVersion: "rbac.authorization.k8s.io/v1", kind: "RoleBinding", metadata: { name, namespace } },
  ...{ roleRef: { apiGroup: "rbac.authorization.k8s.io", ...role }, subjects },
});

/** What an administrator gives to a tenant; `labels` are what the tenant writes on its own pod. */
function objects(labels: Readonly<Record<string, string>>): object[] {
  const bundles = { name: "tenant-bundles", namespace: "mtls" };
  const rules = [
    { apiGroups: [""], resources: ["configmaps"], resourceNames: ["edge-trust", "upstream-trust"], verbs: ["get"] },
  ];
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: tenant } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    binding("edit", { kind: "ClusterRole", name: "edit" }),
    {
      ...{ apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role", metadata: { name: "leaves", namespace: tenant } },
      rules: [{ apiGroups: ["cert-manager.io"], resources: ["certificates", "certificaterequests"], verbs: ["*"] }],
    },
    binding("leaves", { kind: "Role", name: "leaves" }),
    { apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role", metadata: bundles, rules },
    binding(bundles.name, { kind: "Role", name: bundles.name }, bundles.namespace),
    {
      ...{ apiVersion: "v1", kind: "Pod", metadata: { ...metadata, labels } },
      spec: {
        serviceAccountName: tenant,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: "node", image: nodeImage, command: ["sleep", "infinity"] }],
      },
    },
  ];
}

/** Creates the tenant; `remove` deletes all of it. */
export async function createTenant(labels: Readonly<Record<string, string>>): Promise<void> {
  const file = inLabFolder("tenant.yaml");
  writeFileSync(
    file,
    objects(labels)
      .map((object) => stringify(object))
      .join("---\n"),
  );
  await must("kubectl", ["apply", "-f", file]);
  await must("kubectl", ["-n", tenant, "wait", "--for=condition=Ready", `pod/${tenant}`, "--timeout=1m"]);
}

export async function removeTenant(): Promise<void> {
  await must("kubectl", ["delete", "-f", inLabFolder("tenant.yaml"), "--ignore-not-found"]);
}

/** Makes requests from the tenant's pod, all at once. */
export async function fromPod(...attempts: readonly Attempt[]): Promise<readonly Seen[]> {
  const node = ["node", "--no-warnings", "--input-type=module-typescript", "-e", program, JSON.stringify(attempts)];
  return JSON.parse(await must("kubectl", ["-n", tenant, "exec", tenant, "--", ...node])) as readonly Seen[];
}

/** A request to the Kubernetes API as the tenant. */
export function toKubernetes(method: string, path: string, body?: object): Attempt {
  return {
    ...{ host: "kubernetes.default.svc", port: 443, serverName: "kubernetes.default.svc", method, path, asMe: true },
    ...(body && { body: JSON.stringify(body), headers: ["Content-Type", "application/json"] }),
  };
}

/** A Certificate of the tenant's. */
export interface Wanted {
  readonly name: string;
  readonly issuerRef: { readonly kind: string; readonly name: string };
  readonly usages: readonly string[];
  /** The leaf's identity; default: the tenant's own. */
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly dnsNames?: readonly string[];
  readonly isCA?: true;
}

/** Has the tenant ask for a leaf, in its own namespace and with its own rights. Undefined if it gets none within the seconds. */
export async function obtained(wanted: Wanted, seconds = 20): Promise<Pair | undefined> {
  const { name, namespace = tenant, serviceAccount = tenant, issuerRef, ...spec } = wanted;
  const [created] = await fromPod(
    toKubernetes("POST", `/apis/cert-manager.io/v1/namespaces/${tenant}/certificates`, {
      ...{ apiVersion: "cert-manager.io/v1", kind: "Certificate", metadata: { name } },
      spec: {
        ...{ ...spec, secretName: name, issuerRef, duration: "1h" },
        ...{ privateKey: { algorithm: "ECDSA", rotationPolicy: "Always" }, commonName: serviceAccount },
        subject: { organizations: ["dev.mtls.internal"], organizationalUnits: [namespace] },
        uris: [`spiffe://dev.mtls.internal/ns/${namespace}/sa/${serviceAccount}`],
      },
    }),
  );
  if (!created || !("status" in created) || created.status !== 201) throw new Error(JSON.stringify(created));
  return until(
    async () => {
      const [seen] = await fromPod(toKubernetes("GET", `/api/v1/namespaces/${tenant}/secrets/${name}`));
      if (!seen || !("status" in seen) || seen.status !== 200) return undefined;
      const { data } = JSON.parse(seen.body) as { data: Readonly<Record<string, string>> };
      const text = (entry: string) => Buffer.from(data[entry] ?? "", "base64").toString();
      return { cert: text("tls.crt"), key: text("tls.key") };
    },
    { within: seconds * 1_000, pause: 500 },
  );
}
