// Clusters that conflict with the platform, for the table of wrong inputs: each with its objects and the whole message.

import type { Cluster } from "../../cluster-access/cluster.ts";
import { parseConfig } from "../../config.ts";
import { refuseClashes } from "../../neighbours/check.ts";
import { clusterUid } from "./apisix.ts";
import type { KubernetesApi } from "./kubernetesApi.ts";

/** Where they are tried. */
interface World {
  readonly api: KubernetesApi;
  readonly cluster: Cluster;
  /** What stack dev's program says, given the outputs of its last `up`. */
  readonly inStack: (act: () => Promise<unknown>, outputs?: object) => Promise<string>;
}

/** Objects, or the status of the answer, by path as the API's stand-in expects it. */
export type There = Readonly<Record<string, object | number>>;

export const labelled = (stack: string) => ({ metadata: { labels: { "mtls-everywhere/stack": stack } } });
const foreign = { metadata: {} };
const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
export const certManagerKinds = `${definitions}/certificates.cert-manager.io`;
export const approverKinds = `${definitions}/certificaterequestpolicies.policy.cert-manager.io`;

/** The annotations of a Helm release's objects. */
export const heldBy = (namespace: string, name: string) => ({
  "meta.helm.sh/release-name": name,
  "meta.helm.sh/release-namespace": namespace,
});

/** A cert-manager as its chart installs it. */
export const certManagerIn = (namespace: string, version = "v1.18.2", issuersIn = "$(POD_NAMESPACE)"): There => ({
  pods: {
    items: [
      {
        metadata: { namespace, name: "cert-manager-0", labels: { "app.kubernetes.io/name": "cert-manager" } },
        spec: {
          containers: [
            {
              image: `quay.io/jetstack/cert-manager-controller:${version}`,
              args: ["--v=2", `--cluster-resource-namespace=${issuersIn}`],
            },
          ],
        },
      },
    ],
  },
  [`namespaces/${namespace}`]: foreign,
  [certManagerKinds]: foreign,
  "/apis/cert-manager.io/v1": { resources: [] },
});

/** The rows; `world` is asked when one is tried. */
export function neighbourRows(world: () => World) {
  const row = (input: string, there: There, values: object, ...lines: readonly string[]) => ({
    input,
    provoke: () => besides(world(), there, values),
    message: refusal(...lines),
  });
  const existing = (namespace: string) => ({ certManager: { install: false, namespace } });
  return [
    row(
      "several conflicts at once (case 9)",
      {
        ...certManagerIn("infra"),
        "namespaces/mtls": foreign,
        "/apis/apps/v1/namespaces/mtls/deployments/apisix": foreign,
        "/apis/cert-manager.io/v1/clusterissuers/mtls-edge": labelled("prod"),
      },
      {},
      "Namespace mtls, Deployment mtls/apisix already exist: set namespace to another name",
      "ClusterIssuer mtls-edge already exists, owned by stack prod: set namespace to another name",
      "cert-manager v1.18.2 already runs in namespace infra: set certManager: { install: false, namespace: infra }",
    ),
    row(
      "somebody else's namespace (case 9)",
      { "namespaces/mtls": foreign },
      {},
      "Namespace mtls already exists: set createNamespace: false to use it, or namespace to another name",
    ),
    row(
      "a namespace that does not exist, and is not to be created (case 9)",
      {},
      { createNamespace: false },
      "Namespace mtls does not exist, and createNamespace is false: create it (kubectl create namespace mtls), or unset createNamespace",
    ),
    row(
      "a cert-manager that is too old (case 9)",
      certManagerIn("cert-manager", "v1.13.6"),
      {},
      "cert-manager v1.13.6 already runs in namespace cert-manager, and is older than v1.15.0, the oldest supported: upgrade it, then set certManager: { install: false, namespace: cert-manager }",
    ),
    row(
      "the stack's own cert-manager, to be moved to another namespace (case 9)",
      { ...certManagerIn("cert-manager"), "namespaces/cert-manager": labelled("dev") },
      { certManager: { namespace: "infra" } },
      "cert-manager v1.18.2 runs in namespace cert-manager, where this stack installed it, and cannot be moved: set certManager.namespace back to cert-manager",
    ),
    row(
      "cert-manager's namespace and CRDs alone (case 9)",
      {
        "namespaces/cert-manager": foreign,
        [certManagerKinds]: { metadata: { annotations: heldBy("infra", "pki") } },
      },
      {},
      "Namespace cert-manager already exists, but no cert-manager runs in it: set certManager.namespace to another name",
      "cert-manager's CRDs already exist, owned by Helm release infra/pki, but no cert-manager runs: hand them over to the one that this stack installs " +
        "(kubectl label --overwrite crd -l app.kubernetes.io/name=cert-manager app.kubernetes.io/managed-by=Helm; " +
        "kubectl annotate --overwrite crd -l app.kubernetes.io/name=cert-manager meta.helm.sh/release-name=cert-manager meta.helm.sh/release-namespace=cert-manager), " +
        "or start the one they belong to and set certManager: { install: false }",
    ),
    row(
      "no cert-manager, and none to be installed (case 9)",
      {},
      existing("cert-manager"),
      "certManager.install is false, but the cluster has no cert-manager: unset certManager.install, or install one first (docs/roles.md)",
    ),
    row(
      "a cert-manager in another namespace than the configuration says (case 9)",
      certManagerIn("infra"),
      existing("cert-manager"),
      "cert-manager v1.18.2 looks for the Secrets of ClusterIssuers in namespace infra, not in cert-manager: set certManager: { install: false, namespace: infra }",
    ),
    row(
      "an existing cert-manager that is too old (case 9)",
      certManagerIn("infra", "v1.13.6"),
      existing("infra"),
      "cert-manager v1.13.6 runs in namespace infra, and is older than v1.15.0, the oldest supported: upgrade it",
    ),
    row(
      "a Kubernetes that cannot limit certificate requests, and somebody else's approver-policy (case 9)",
      {
        "/apis/admissionregistration.k8s.io/v1": { resources: [{ name: "validatingwebhookconfigurations" }] },
        [approverKinds]: { metadata: { annotations: heldBy("infra", "approver") } },
      },
      {},
      "The API server has no ValidatingAdmissionPolicies, which keep others from approving certificate requests: upgrade to Kubernetes 1.30, " +
        "or set certManager.approver.install: false, which leaves requests unlimited",
      "approver-policy's CRD already exists, owned by Helm release infra/approver: uninstall it with its policies, " +
        "or set certManager.approver.install: false, which leaves requests unlimited",
    ),
    row(
      "monitoring without the Prometheus operator (case 9)",
      {},
      { monitoring: { install: true } },
      "monitoring.install needs the Prometheus operator's CRDs, which are missing: install the operator first, or unset monitoring.install",
    ),
    row(
      "the volumes of an etcd that was destroyed (case 4)",
      {
        "namespaces/mtls": foreign,
        "namespaces/mtls/persistentvolumeclaims": {
          items: ["data-etcd-1", "data-etcd-0"].map((name) => ({
            metadata: { name, labels: { "app.kubernetes.io/name": "etcd" } },
          })),
        },
      },
      { createNamespace: false },
      "Namespace mtls still has the volumes of an earlier etcd, whose passwords are gone: nobody can sign in to it any more. " +
        "To delete them with their data: kubectl -n mtls delete pvc data-etcd-0 data-etcd-1",
    ),
    {
      input: "a namespace to create that the stack released",
      provoke: () =>
        besides(
          world(),
          { "namespaces/mtls": labelled("dev") },
          {},
          { admin: { cluster: clusterUid }, namespace: "mtls", ownsNamespace: false },
        ),
      message: refusal(
        "Namespace mtls was released with createNamespace: false, and a stack cannot take over a namespace that exists: set createNamespace back to false",
      ),
    },
    {
      input: "another namespace than the platform's",
      provoke: () =>
        besides(world(), {}, { namespace: "elsewhere" }, { admin: { cluster: clusterUid }, namespace: "mtls" }),
      message:
        "Stack dev runs in namespace mtls, and a platform cannot be moved: another namespace would get new roots and an empty etcd, and mtls would be deleted with the objects that other stacks put into the gateway.\n" +
        "Nothing was changed. Set namespace back to mtls, or create another stack for the new namespace: pulumi stack init NAME",
    },
    {
      input: "a cluster that cannot be checked (case 9)",
      provoke: () => besides(world(), { "namespaces/mtls": 500 }, {}),
      message:
        "Cannot tell what is already in the cluster: Namespace mtls could not be read: HTTP 500.\n" +
        "Nothing was changed. Check that the cluster is up, then run the same command again.",
    },
  ];
}

function refusal(...lines: readonly string[]): string {
  const words = lines.map((line) => `  ${line}\n`).join("");
  return `Stack dev conflicts with what is already in the cluster:\n${words}Nothing was changed.`;
}

/** What the program says to a configuration if these objects exist. */
async function besides(
  { api, cluster, inStack }: World,
  others: There,
  values: object,
  outputs?: object,
): Promise<string> {
  const there = { "namespaces/mtls": 404, ...others };
  const before = new Map(Object.keys(there).map((path) => [path, api.answers.get(path)]));
  for (const [path, answer] of Object.entries(there)) api.answers.set(path, answer);
  try {
    const env = parseConfig({ trustDomain: "dev.internal", ...values }, "dev");
    return await inStack(() => refuseClashes(cluster, env), outputs);
  } finally {
    for (const [path, answer] of before) {
      if (answer === undefined) api.answers.delete(path);
      else api.answers.set(path, answer);
    }
  }
}
