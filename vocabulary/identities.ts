// Who a leaf speaks for, and how servers see it.

/** Who a leaf speaks for. */
export interface Identity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** The SPIFFE ID of an identity: `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>`. */
export function spiffeId(identity: Identity): string {
  return `spiffe://${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`;
}

/** The subject of an identity's leaves as nginx prints it (RFC 2253): servers that see no SANs tell callers apart by it. */
export function subjectOf(identity: Identity): string {
  return `CN=${identity.serviceAccount},OU=${identity.namespace},O=${identity.trustDomain}`;
}
