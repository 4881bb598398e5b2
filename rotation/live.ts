// What a rotation looks at: who trusts which roots, which leaves there are, and what the servers really serve.

import { type Plane, planes } from "@mtls-everywhere/vocabulary/planes";

/** Everything live that belongs to the platform, in all namespaces. Roots are named by their SHA-256. */
export interface Live {
  /** The trusted generations' roots, by the generation's name (several where a lost one was recreated), as the platform's own bundles have them; none before the first `up`. */
  readonly roots: LiveRoots;
  readonly bundles: readonly LiveBundle[];
  readonly pods: readonly LivePod[];
  readonly leaves: readonly LiveLeaf[];
  readonly servers: readonly LiveServer[];
  /** The gateway's certificate objects, or why they could not be read. */
  readonly objects: readonly LiveObject[] | string;
}

export type LiveRoots = Readonly<Partial<Record<Plane, Readonly<Record<string, readonly string[]>>>>>;

/** A trust bundle with at least one of the platform's roots. */
export interface LiveBundle {
  readonly plane: Plane;
  readonly namespace: string;
  readonly name: string;
  readonly roots: readonly string[];
}

/** A pod of the platform or of a service behind it. */
export interface LivePod {
  readonly namespace: string;
  readonly name: string;
  /** The roots that it started with; absent where it does not say. */
  readonly started?: Readonly<Partial<Record<Plane, readonly string[]>>>;
}

/** A Certificate, or a CertificateRequest that belongs to none. */
export interface LiveLeaf {
  readonly kind: "Certificate" | "CertificateRequest";
  readonly namespace: string;
  readonly name: string;
  readonly plane: Plane;
  /** Generation of the issuer that it names. */
  readonly wanted: string;
  /** Generation of the issuer that signed what its Secret holds now; absent before it is issued, and where that is unknown. */
  readonly issued?: string;
  /** It was issued once and is being reissued, and what its Secret holds meanwhile is unknown. */
  readonly unsure?: boolean;
}

/** A pod's port, as a handshake sees it. */
export interface LiveServer {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
  readonly plane: Plane;
  /** Generation of the leaf that it serves; absent for a leaf of none of them, and where it was not checked. */
  readonly generation?: string;
  /** Why the handshake proves nothing. */
  readonly unchecked?: string;
}

/** A certificate object of the gateway's. */
export interface LiveObject {
  readonly id: string;
  /** That of its leaf: `edge` for what the gateway serves, `upstream` for what it presents. */
  readonly plane: "edge" | "upstream";
  /** Generation of the leaf; absent for a leaf of none of them. */
  readonly generation?: string;
  /** The roots that it verifies clients with, where it asks for client certificates. */
  readonly accepts?: readonly string[];
}

/** Whether one of the roots is the platform's: other platforms on the cluster have bundles and pods like ours. */
export function isOurs(plane: Plane, digests: readonly string[], roots: LiveRoots): boolean {
  const own = Object.values(roots[plane] ?? {}).flat();
  return digests.some((digest) => own.includes(digest));
}

/** The generations that any plane's bundle has, in the order of the planes and bundles. */
export function generationsIn(roots: LiveRoots): string[] {
  return [...new Set(planes.flatMap((plane) => Object.keys(roots[plane] ?? {})))];
}
