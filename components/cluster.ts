// The cluster that the stack acts on: one explicit provider, and the identity that references carry.

import { Cluster as ClusterAccess } from "@mtls-everywhere/apisix-admin/access";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

/** The connection to one Kubernetes cluster. */
export interface Cluster {
  /** Give this to every component: `{ provider: cluster.provider }`. */
  readonly provider: k8s.Provider;
  /** UID of `kube-system`; the dynamic resources refuse to act on another cluster. */
  readonly uid: string;
}

/**
 * Connects to the cluster that `kubernetes:kubeconfig` and `kubernetes:context` select, by default `KUBECONFIG`'s
 * current context, the same choice that the dynamic resources make.
 * @throws RunError when its API server does not answer: before anything is changed.
 */
export async function connectCluster(name: string): Promise<Cluster> {
  const config = new pulumi.Config("kubernetes");
  const kubeconfig = config.get("kubeconfig");
  const context = config.get("context");
  let uid: string;
  try {
    uid = await new ClusterAccess({ kubeconfig, context }).uid();
  } catch (error) {
    throw new pulumi.RunError(
      `The Kubernetes cluster cannot be used: ${(error as Error).message}\n` +
        `Nothing was changed. Check KUBECONFIG, kubernetes:kubeconfig and kubernetes:context: kubectl get namespace kube-system must work.`,
    );
  }
  const provider = new k8s.Provider(name, {
    ...(kubeconfig ? { kubeconfig } : {}),
    ...(context ? { context } : {}),
    // Kubeconfig edits must not replace everything: the cluster stays the same one.
    clusterIdentifier: uid,
    // Trust bundles and settings change in place; pods notice by a digest on their template.
    enableConfigMapMutable: true,
    enableSecretMutable: true,
  });
  return { provider, uid };
}
