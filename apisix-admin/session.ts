// This process's Admin API clients: one for each endpoint.

import {
  type Access,
  adviceFor,
  connectTo,
  type TimeLimits,
  timeLimitsOf,
  Unusable,
} from "@mtls-everywhere/cluster-access";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type { SecretKeyRef } from "@mtls-everywhere/vocabulary/references";

import { AdminClient } from "./client.ts";

/** A client of the endpoint; there is one per process and endpoint, with the limits that the first asks for. Refuses another cluster. */
export function adminClient(
  access: Access,
  endpoint: AdminEndpoint,
  limits: Pick<TimeLimits, "hopeless"> = {},
): Promise<AdminClient> {
  const sessions = sessionsOf(access);
  const name = JSON.stringify(endpoint);
  let session = sessions.get(name);
  if (!session) {
    session = open(access, endpoint, limits);
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

async function open(access: Access, endpoint: AdminEndpoint, limits: TimeLimits): Promise<AdminClient> {
  await access.expect(endpoint.cluster);
  const key = await access.secretValue(endpoint.key);
  refuseUnusableKey(endpoint.key, key);
  return new AdminClient({
    ...timeLimitsOf(access).changing,
    ...limits,
    connect: connectTo(access, endpoint),
    key,
    host: endpoint.serverName,
    advice: adviceFor(endpoint),
  });
}

/** APISIX puts the key into its config.yaml, where digits are a number, and a number never equals a header. */
function refuseUnusableKey({ namespace, name, key: entry }: SecretKeyRef, key: string): void {
  const where = `The Admin API key in Secret ${namespace}/${name}, entry "${entry}",`;
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new Unusable(
      `${where} contains a space, a line break or a non-ASCII character, which no header can carry.${remedy}`,
    );
  }
  if (!/[a-zA-Z]/.test(key) || !Number.isNaN(Number(key))) {
    throw new Unusable(`${where} reads as a number, and APISIX would answer 401 to everyone.${remedy}`);
  }
}

const remedy = " Use one of letters and digits, and restart the gateway's pods.";
