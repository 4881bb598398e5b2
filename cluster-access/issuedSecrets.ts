// Secrets that cert-manager issued and leaves behind: it keeps them when their Certificate goes, unless it is told to own them.

import { CoreV1Api, CustomObjectsApi, type KubeConfig, type V1Secret } from "@kubernetes/client-node";
import type { SecretRef } from "@mtls-everywhere/vocabulary/references";

import { found } from "./apiErrors.ts";

/** Cert-manager's record of the Certificate that a Secret belongs to. */
const owner = "cert-manager.io/certificate-name";

/**
 * Deletes the Secret of a deleted Certificate, unless the Secret is already gone or belongs to another Certificate.
 * @throws when the Certificate still exists: cert-manager would issue the Secret again, with a new key.
 */
export async function removeIssued(
  config: KubeConfig,
  { namespace, name }: SecretRef,
  certificate: string,
): Promise<void> {
  const core = config.makeApiClient(CoreV1Api);
  const secret = await found<V1Secret>(() => core.readNamespacedSecret({ namespace, name }));
  if (secret?.metadata?.annotations?.[owner] !== certificate) return;
  const kind = { group: "cert-manager.io", version: "v1", plural: "certificates" };
  const custom = config.makeApiClient(CustomObjectsApi);
  if (await found(() => custom.getNamespacedCustomObject({ ...kind, namespace, name: certificate }))) {
    throw new Error(
      `Secret ${namespace}/${name} holds the key of Certificate ${namespace}/${certificate}, which still exists: ` +
        "cert-manager would create a new key at once. Delete the Certificate first.",
    );
  }
  const { uid, resourceVersion } = secret.metadata;
  await found(() =>
    core.deleteNamespacedSecret({ namespace, name, body: { preconditions: { uid, resourceVersion } } }),
  );
}
