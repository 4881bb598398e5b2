// The check before an update: whether the platform conflicts with what is already in the cluster.

import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

import type { NamedGenerations } from "../components/generations.ts";
import { lastOutputs } from "../components/lastOutputs.ts";
import { stackLabelValue } from "../components/stackLabel.ts";
import { clashes } from "./clashes.ts";
import type { Wanted } from "./live.ts";
import { objectNames, type Roots } from "./names.ts";
import { NeighbourReader } from "./reader.ts";

/** The configuration that it depends on. */
interface Environment extends Pick<Wanted, "namespace" | "createNamespace" | "certManager"> {
  readonly pki: { readonly root: Roots & NamedGenerations };
  readonly monitoring: { readonly install: boolean };
}

/**
 * Checks the cluster before anything is created there. What the caller may not read is skipped with a warning.
 * @throws RunError with a line for each conflict, and how to resolve it; or if the platform runs in another namespace.
 */
export async function refuseClashes(cluster: Cluster, env: Environment): Promise<void> {
  const last = await lastOutputs();
  const { cluster: lives } = { ...(last["admin"] as Partial<AdminEndpoint> | undefined) };
  // If the stack lives in another cluster, that is the error to report, not this cluster's conflicts.
  if (lives !== undefined && lives !== (await cluster.uid())) return;
  const running = lives !== undefined;
  if (running && last["namespace"] !== env.namespace) throw moved(String(last["namespace"]));
  const wanted: Wanted = {
    stack: stackLabelValue(pulumi.getStack()),
    running,
    released: last["ownsNamespace"] === false,
    ...{ namespace: env.namespace, createNamespace: env.createNamespace, certManager: env.certManager },
    monitoring: env.monitoring.install,
    // A running stack owns them all, whatever their labels say: it may be renamed, or they may be recreated by hand.
    objects: running ? [] : objectNames(env.namespace, env.pki.root, env.pki.root.active),
  };
  const reader = new NeighbourReader(cluster.config);
  const live = await reader.read(wanted).catch((error: Error) => {
    throw new pulumi.RunError(
      `Cannot tell what is already in the cluster: ${error.message}\nNothing was changed. Check that the cluster is up, then run the same command again.`,
    );
  });
  if (reader.unread.length > 0) await pulumi.log.warn(unseen(reader.unread));
  const lines = clashes(live, wanted);
  if (lines.length === 0) return;
  throw new pulumi.RunError(
    `Stack ${pulumi.getStack()} conflicts with what is already in the cluster:\n${lines.map((line) => `  ${line}`).join("\n")}\nNothing was changed.`,
  );
}

function moved(home: string): pulumi.RunError {
  const stack = pulumi.getStack();
  return new pulumi.RunError(
    `Stack ${stack} runs in namespace ${home}, and a platform cannot be moved: another namespace would get new roots and an empty etcd, and ${home} would be deleted with the objects that other stacks put into the gateway.\n` +
      `Nothing was changed. Set namespace back to ${home}, or create another stack for the new namespace: pulumi stack init NAME`,
  );
}

function unseen(unread: readonly string[]): string {
  return (
    `The kubeconfig's user may not read: ${unread.join(", ")}. The check for conflicts ran without them; ` +
    `any that it missed will fail \`pulumi up\`.`
  );
}
