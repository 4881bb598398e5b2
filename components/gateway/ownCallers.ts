// Who may call the platform's own host: whom the configuration names.

import type { Allow, Client } from "@mtls-everywhere/vocabulary/identities";
import * as pulumi from "@pulumi/pulumi";

import { lastOutputs } from "../lastOutputs.ts";

/** What the configuration says. */
export interface OwnCallersArgs {
  readonly host: string;
  /** Service accounts in the platform's namespace. */
  readonly clients: readonly string[];
  /** Others, or every client. */
  readonly allow?: Allow | undefined;
}

/**
 * Whom the configuration names, if it says so or the stack is new. Undefined for a stack whose host every client of the edge plane may
 * call since before there was a list: nobody is cut off by an update that does not mention it, and each update warns.
 */
export async function ownCallers(
  namespace: string,
  { host, clients, allow }: OwnCallersArgs,
): Promise<Allow | undefined> {
  if (allow === "every client") return allow;
  const listed: readonly Client[] = clients.map((serviceAccount) => ({ namespace, serviceAccount }));
  if (allow !== undefined) return [...listed, ...allow];
  const { gateway, clients: decided } = await lastOutputs();
  if (gateway === undefined || (decided as { allowed?: unknown } | undefined)?.allowed !== undefined) return listed;
  await pulumi.log.warn(
    `Every client with a certificate of the edge plane may call ${host}, as before there was a list. Set gateway.allow to those who may ` +
      'besides gateway.clients ([] for nobody else), or to "every client" to leave it so.',
  );
  return undefined;
}
