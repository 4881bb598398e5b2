// cert-manager: installed from its Helm chart, or the one that the cluster has.

import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

/**
 * The oldest supported version: its chart is the first with `crds.enabled` and `crds.keep`. An older one ignores them,
 * and would install a cert-manager without its CRDs.
 */
export const oldestCertManager = "v1.15.0";

/** Name of the Helm release. */
export const releaseName = "cert-manager";

/** Whether a version such as `v1.9.0` is older than another, by its numbers. */
export function isOlder(version: string, than: string): boolean {
  const [one = [], other = []] = [version, than].map((text) => text.replace(/^v/, "").split(".").map(Number));
  const index = one.findIndex((number, at) => number !== other[at]);
  return index >= 0 && one[index]! < other[index]!;
}

/** Whether cert-manager is installed, and from where. */
export interface CertManagerArgs {
  /** Install it; `false` uses the installed one (of two stacks on a cluster exactly one owns it). */
  readonly install: boolean;
  /** Chart and application version, such as `v1.21.2`. */
  readonly version: string;
  /** Namespace of cert-manager; ClusterIssuers read their Secrets there. */
  readonly namespace: string;
  /** Chart: an OCI address or a local path. */
  readonly chart: string;
  /** Keep the CRDs, and with them every certificate of the cluster, on destroy. */
  readonly keepCrds: boolean;
  /** Keep it in the cluster, namespace included, when it is removed from the stack. */
  readonly keep: boolean;
  /** Namespace of the platform that installs it, unique in the cluster. Default: it is installed on its own. */
  readonly platform?: string;
}

/** Label on a cert-manager's namespace: the namespace of the platform that it belongs to. */
const platformLabel = "mtls-everywhere/platform";

/**
 * Refuses to delete the platform's own cert-manager because the configuration now wants another.
 * @throws RunError before anything is planned, with the steps to hand it over.
 */
export async function keepInstalled(
  cluster: Cluster,
  { install, namespace, platform }: Pick<CertManagerArgs, "install" | "namespace" | "platform">,
): Promise<void> {
  // A caller who may not list namespaces cannot delete any either.
  const own = (await cluster.namespaces(`${platformLabel}=${platform}`)) ?? [];
  const lost = own.find((name) => !install || name !== namespace);
  if (lost === undefined) return;
  throw new pulumi.RunError(
    `The cert-manager in namespace ${lost} belongs to this platform, and the configuration would delete it together with its namespace, which holds the keys that sign for the edge and upstream planes.\n` +
      `Nothing was changed. Restore certManager.install: true and certManager.namespace: ${lost}. To hand it over, also set certManager.keep: true and run pulumi up; then make the change.`,
  );
}

/** Issues and renews every certificate of the platform. Depend on this component before using its kinds. */
export class CertManager extends pulumi.ComponentResource {
  /** Namespace where a ClusterIssuer's Secrets must be. A plain string: an upgrade must not make roots look changed. */
  readonly clusterResourceNamespace: string;

  constructor(name: string, args: CertManagerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:CertManager", name, {}, opts);
    this.clusterResourceNamespace = args.namespace;
    if (args.install) {
      const child = { parent: this, retainOnDelete: args.keep };
      const owner: Record<string, string> =
        args.platform !== undefined && !args.keep ? { [platformLabel]: args.platform } : {};
      const namespace = new k8s.core.v1.Namespace(
        `${name}-namespace`,
        {
          metadata: {
            name: args.namespace,
            labels: { "pod-security.kubernetes.io/enforce": "restricted", ...owner },
          },
        },
        child,
      );
      new k8s.helm.v3.Release(
        `${name}-release`,
        {
          name: releaseName,
          ...chartFrom(args),
          namespace: namespace.metadata.name,
          timeout: 300,
          values: certManagerValues(args),
        },
        { ...child, dependsOn: namespace },
      );
    }
    this.registerOutputs({ clusterResourceNamespace: this.clusterResourceNamespace });
  }
}

/** A Release's chart; one in a folder brings its own version. */
export function chartFrom({ chart, version }: Pick<CertManagerArgs, "chart" | "version">) {
  return { chart, ...(chart.startsWith("oci://") ? { version } : {}) };
}

/** The chart's values. `startupapicheck`, on by default, is the readiness gate: the webhook answers when it has passed. */
export function certManagerValues(args: Pick<CertManagerArgs, "namespace" | "keepCrds">) {
  return {
    crds: { enabled: true, keep: args.keepCrds },
    // A certificate's Secret is deleted with it: destroy leaves no key behind.
    enableCertificateOwnerRef: true,
    // Who can foresee a request's name can put another in its place after it was judged.
    featureGates: "StableCertificateRequestName=false",
    // The chart's default, kube-system, would keep the leases there after a destroy.
    global: { leaderElection: { namespace: args.namespace } },
    prometheus: { enabled: false },
    // Ready as soon as it answers, not at the chart's next five-second probe.
    webhook: { readinessProbe: { initialDelaySeconds: 1, periodSeconds: 1 } },
  };
}
