// Who a leaf speaks for, and how servers see it.

import { z } from "zod";

export const identity = z
  .object({ trustDomain: z.string(), namespace: z.string(), serviceAccount: z.string() })
  .readonly();

/** Who a leaf speaks for. */
export interface Identity extends z.infer<typeof identity> {}

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
