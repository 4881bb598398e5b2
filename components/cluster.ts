// The cluster that the stack acts on: one explicit provider, and the identity that references carry.

import { type ApiServer, Cluster as ClusterAccess } from "@mtls-everywhere/cluster-access/cluster";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { firstValue } from "./firstValue.ts";

/** The connection to one Kubernetes cluster. */
export interface ConnectedCluster {
  /** Give this to every component: `{ provider: cluster.provider }`. */
  readonly provider: k8s.Provider;
  /** The same cluster, for what the program looks at before it plans anything. */
  readonly access: ClusterAccess;
  /** UID of `kube-system`; the dynamic resources refuse to act on another cluster. */
  readonly uid: string;
  /**
   * Where its API server listens, for network policies that allow the way there.
   * @throws RunError when the cluster does not say.
   */
  apiServer(): Promise<ApiServer>;
}

/**
 * Connects to the cluster that `kubernetes:kubeconfig` and `kubernetes:context` select, by default `KUBECONFIG`'s
 * current context, the same choice that the dynamic resources make.
 * @throws RunError when its API server does not answer, or when it is another cluster than the one that the stack lives
 * on: before anything is planned.
 * @param allows what has to be so of the cluster before the stack is recorded to live there; it rejects where it is not
 */
export async function connectCluster(
  name: string,
  allows: (cluster: ClusterAccess) => Promise<void> = async () => {},
): Promise<ConnectedCluster> {
  const config = new pulumi.Config("kubernetes");
  const context = config.get("context");
  let cluster: ClusterAccess;
  let uid: string;
  try {
    cluster = new ClusterAccess({ kubeconfig: config.get("kubeconfig"), context });
    uid = await cluster.uid();
  } catch (error) {
    throw new pulumi.RunError(
      `The Kubernetes cluster cannot be used: ${(error as Error).message}\n` +
        `Nothing was changed. Check KUBECONFIG, kubernetes:kubeconfig and kubernetes:context: kubectl get namespace kube-system must work.`,
    );
  }
  await allows(cluster);
  const home = await firstValue(`${name}-uid`, uid);
  await refuseAnother(cluster, uid, home.value);
  const provider = new k8s.Provider(
    name,
    {
      // Left out, the SDK would put KUBECONFIG's path into the state, and other machines have no such file. With an
      // empty one the provider reads KUBECONFIG itself. Secret, since a kubeconfig's text holds credentials.
      kubeconfig: config.getSecret("kubeconfig") ?? "",
      ...(context ? { context } : {}),
      // Edits of the kubeconfig must not replace everything: the cluster is still the same.
      clusterIdentifier: uid,
      // Trust bundles and settings change in place; pods notice by a digest on their template.
      enableConfigMapMutable: true,
      enableSecretMutable: true,
    },
    // A destroy that stops halfway still knows where the stack lives.
    { dependsOn: home.record },
  );
  return { provider, access: cluster, uid, apiServer: () => cluster.apiServer().catch(unknownPlace) };
}

function unknownPlace(error: unknown): never {
  throw new pulumi.RunError(
    `${(error as Error).message}\n` +
      `Nothing was changed. It says where the API server listens, which the renewer's NetworkPolicy needs to know.`,
  );
}

/**
 * Refuses any cluster but the one that the stack was created on. The engine would replace the
 * provider and everything that depends on it, and then delete the new objects, which have the names of the old ones.
 */
async function refuseAnother(cluster: ClusterAccess, uid: string, lives: string | undefined): Promise<void> {
  if (lives === undefined || lives === uid) return;
  const stack = [pulumi.getOrganization(), pulumi.getProject(), pulumi.getStack()].join("/");
  try {
    await cluster.expect(lives, `stack ${stack}`);
  } catch (error) {
    throw new pulumi.RunError(
      `${(error as Error).message}\n` +
        `Nothing was changed. If cluster ${lives} is gone for good: node tools/recover/cli.ts -s ${stack} --forget-cluster`,
    );
  }
}
