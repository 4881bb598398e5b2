// How the life cycle reaches a cluster and its Admin API: by an interface, so that it also runs without Kubernetes.

import type { TLSSocket } from "node:tls";

import type { KeyPair } from "./certificates.ts";
import { AdminClient } from "./client.ts";
import type { AdminEndpoint, ConfigMapKeyRef, EtcdEndpoint, PodPort, SecretKeyRef, SecretRef } from "./references.ts";
import type { Connect } from "./transport.ts";

/** What is needed of a cluster; `Cluster` provides it. */
export interface Access {
  /** Throws `WrongCluster` when this is another cluster. */
  expect(cluster: string): Promise<void>;
  keyPair(ref: SecretRef): Promise<KeyPair>;
  secretValue(ref: SecretKeyRef): Promise<string>;
  certificate(ref: SecretRef): Promise<string>;
  trustBundle(ref: ConfigMapKeyRef): Promise<string>;
  connect(
    to: PodPort,
    client: { readonly ca: string; readonly pair?: KeyPair },
    signal?: AbortSignal,
  ): Promise<TLSSocket>;
}

/** Opens connections with the credentials as they are at that moment, so that renewed ones are used at once. */
export function connectTo(access: Access, endpoint: AdminEndpoint | EtcdEndpoint): Connect {
  return async (signal) => {
    const [ca, pair] = await Promise.all([access.trustBundle(endpoint.trust), access.keyPair(endpoint.certificate)]);
    return access.connect(endpoint, { ca, pair }, signal);
  };
}

/** A client of the endpoint; there is one per process and endpoint. Refuses another cluster. */
export function adminClient(access: Access, endpoint: AdminEndpoint): Promise<AdminClient> {
  const sessions = sessionsOf(access);
  const name = JSON.stringify(endpoint);
  let session = sessions.get(name);
  if (!session) {
    session = open(access, endpoint);
    sessions.set(name, session);
    session.catch(() => sessions.delete(name));
  }
  return session;
}

/** Closes the connections of an access; a provider's process ends instead. */
export async function closeSessions(access: Access): Promise<void> {
  for (const session of sessionsOf(access).values()) (await session).close();
  opened.delete(access);
}

const opened = new WeakMap<Access, Map<string, Promise<AdminClient>>>();

function sessionsOf(access: Access): Map<string, Promise<AdminClient>> {
  const sessions = opened.get(access) ?? new Map<string, Promise<AdminClient>>();
  opened.set(access, sessions);
  return sessions;
}

async function open(access: Access, endpoint: AdminEndpoint): Promise<AdminClient> {
  await access.expect(endpoint.cluster);
  const key = await access.secretValue(endpoint.key);
  return new AdminClient({ connect: connectTo(access, endpoint), key, host: endpoint.serverName, deadline: 60_000 });
}
