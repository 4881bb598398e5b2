// Who presents a client certificate, asked of a running gateway.

import type { Access } from "@mtls-everywhere/cluster-access";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";

import { presenters } from "./presenters.ts";
import { adminClient, closeSessions } from "./session.ts";

/** The objects that name it, such as `upstreams/hello`. */
export async function livePresenters(id: string, admin: AdminEndpoint, access: Access): Promise<readonly string[]> {
  try {
    return await presenters(id, await adminClient(access, admin));
  } finally {
    await closeSessions(access);
  }
}
