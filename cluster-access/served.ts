// What one port of one pod really serves, to anyone.

import type { X509Certificate } from "node:crypto";

import type { OnePodPort } from "@mtls-everywhere/vocabulary/references";

import type { KeyPair } from "./certificates.ts";
import type { Cluster } from "./cluster.ts";
import { shownBy } from "./handshake.ts";
import { isTransient } from "./transport.ts";
import { until } from "./until.ts";

/**
 * The chain that a port serves, its leaf first. Retries for that many milliseconds when a tunnel breaks, which says nothing about
 * the server.
 * @param pair what to present to a server that asks for it
 * @throws when nothing answers with a certificate.
 */
export async function servedChain(
  cluster: Pick<Cluster, "open">,
  at: OnePodPort,
  {
    within,
    pair,
    signal,
  }: { readonly within: number; readonly pair?: KeyPair | undefined; readonly signal?: AbortSignal },
): Promise<readonly X509Certificate[]> {
  let last: unknown;
  const chain = await until(
    async () => {
      const timeout = AbortSignal.timeout(within);
      const limit = signal ? AbortSignal.any([signal, timeout]) : timeout;
      try {
        return await shownBy({ socket: await cluster.open(at, limit) }, at.serverName, pair, limit);
      } catch (error) {
        if (!isTransient(error)) throw error;
        last = error;
        return undefined;
      }
    },
    { within, ...(signal && { signal }) },
  );
  if (chain === undefined) throw last;
  return chain;
}
