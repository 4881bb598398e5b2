// What a cluster already has where a platform is about to be created, and what the platform needs from it.

import type { Installs } from "../components/approver.ts";

/** What a stack creates, as far as others may have created it already. */
export interface Wanted {
  /** The stack's name, as in the label of its objects. */
  readonly stack: string;
  /** Whether it has had a successful `up`. */
  readonly running: boolean;
  /** The platform's namespace. */
  readonly namespace: string;
  /** Whether the stack creates it. */
  readonly createNamespace: boolean;
  /** Whether its last `up` left it to somebody else. */
  readonly released: boolean;
  readonly certManager: Installs & { readonly namespace: string };
  /** Whether it uses the Prometheus operator's CRDs. */
  readonly monitoring: boolean;
  /** Objects whose names others may be using. */
  readonly objects: readonly ObjectName[];
}

export interface ObjectName {
  readonly kind: "Deployment" | "StatefulSet" | "Service" | "ClusterIssuer";
  /** Absent for cluster-scoped objects. */
  readonly namespace?: string;
  readonly name: string;
}

/** What was found; `unknown` if the caller may not look, or need not. */
export type Found<T> = T | "absent" | "unknown";

/** The stack whose label an object carries, if any. */
export interface Owner {
  readonly stack?: string;
}

/** A running cert-manager. */
export interface Controller extends Owner {
  /** Of its pods. The owner is that of this namespace, if that was read. */
  readonly namespace: string;
  /** Where it looks for the Secrets of ClusterIssuers. */
  readonly issuersIn: string;
  /** Such as `v1.21.2`, if its pods tell. */
  readonly version?: string;
}

/** CRDs, and the Helm release that they belong to. */
export interface Kinds {
  readonly release?: string;
}

export interface Neighbours {
  /** The platform's namespace. */
  readonly home: Found<Owner>;
  /** The namespace in which the stack installs cert-manager. */
  readonly certManagerHome: Found<Owner>;
  readonly controllers: readonly Controller[];
  /** cert-manager's. */
  readonly kinds: Found<Kinds>;
  /** approver-policy's, if the stack is to install one. */
  readonly approverKinds: Found<Kinds>;
  /** The API server's own ValidatingAdmissionPolicies, if the stack is to install approver-policy. */
  readonly admissionKinds: Found<Kinds>;
  /** The Prometheus operator's. */
  readonly monitoringKinds: Found<Kinds>;
  /** The wanted objects that already exist. */
  readonly objects: readonly (ObjectName & Owner)[];
  /** Claims of an etcd's volumes. */
  readonly claims: readonly string[];
}
