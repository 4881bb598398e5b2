// Tells what is gone for good from what is merely not ready: the API server knows, and etcd itself.

import { setTimeout as sleep } from "node:timers/promises";

import { type AdminClient, adminClient } from "@mtls-everywhere/apisix-admin";
import { type Access, connectTo, MissingObject } from "@mtls-everywhere/cluster-access";
import type { AdminEndpoint, KeepingEtcd } from "@mtls-everywhere/vocabulary/endpoints";

import { EtcdAdmin } from "./etcd.ts";

/** A client of the Admin API that waits for what is not ready, but not for what is gone: that is a `MissingObject`. */
export function gatewayClient(access: Access, admin: AdminEndpoint): Promise<AdminClient> {
  const lost = async () => (await access.missingOf(admin)) ?? (admin.keptIn && (await lostStore(access, admin.keptIn)));
  return adminClient(access, admin, { hopeless: hopeless(lost) });
}

/** For `TimeLimits`: asks what is lost, but not for long; without an answer, nothing is known to be lost. */
export function hopeless(lost: () => Promise<string | undefined>): () => Promise<MissingObject | undefined> {
  return async () => {
    const what = await Promise.race([lost().catch(() => undefined), sleep(patience, undefined, { ref: false })]);
    return what === undefined
      ? undefined
      : new MissingObject(what, "Run pulumi up --refresh in the stack that owns it.");
  };
}

/** Milliseconds. */
const patience = 5_000;

async function lostStore(access: Access, store: KeepingEtcd): Promise<string | undefined> {
  const missing = await access.missingOf(store);
  if (missing !== undefined) return missing;
  const once = async () => new Error("it did not answer");
  const etcd = new EtcdAdmin({ connect: connectTo(access, store), rootPassword: "", hopeless: once });
  try {
    const { namespace, selector } = store;
    return (await etcd.asksForUsers())
      ? undefined
      : `The etcd of pods ${selector} in namespace ${namespace} has lost everything that it held, including its users.`;
  } finally {
    etcd.close();
  }
}
