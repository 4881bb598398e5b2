// Who a leaf speaks for, and how servers see it.

import { z } from "zod";

export const identity = z
  .object({ trustDomain: z.string(), namespace: z.string(), serviceAccount: z.string() })
  .readonly();

/** Who a leaf speaks for. */
export interface Identity extends z.infer<typeof identity> {}

export const client = z.object({ namespace: z.string(), serviceAccount: z.string() }).readonly();

/** A client of the gateway: whom its leaf speaks for, in whichever trust domain of this platform. */
export interface Client extends z.infer<typeof client> {}

export const ownedHost = z.object({ namespace: z.string(), host: z.string() }).readonly();

/** A host, and the namespace that alone gets a server's leaf of the edge plane for it. */
export interface OwnedHost extends z.infer<typeof ownedHost> {}

/** Whom a host or a route answers: these clients, or every client whose certificate the host accepts. An empty list is nobody. */
export type Allow = readonly Client[] | "every client";

/** These clients in each of the trust domains. */
export function identitiesOf(clients: readonly Client[], trustDomains: readonly string[]): Identity[] {
  return trustDomains.flatMap((trustDomain) =>
    clients.map(({ namespace, serviceAccount }) => ({ trustDomain, namespace, serviceAccount })),
  );
}

/** X.520 upper bound of O, OU and CN, in characters. */
export const subjectLimit = 64;

/** The SPIFFE ID of an identity: `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>`. */
export function spiffeId(identity: Identity): string {
  return `spiffe://${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`;
}

/** The subject of an identity's leaves as nginx prints it (RFC 2253): servers that see no SANs tell callers apart by it. */
export function subjectOf(identity: Identity): string {
  return `CN=${identity.serviceAccount},OU=${identity.namespace},O=${identity.trustDomain}`;
}
