// What a cluster has already where a platform is about to be made, and what that platform asks of it.

/** What a stack makes, as far as somebody else may have made it before. */
export interface Wanted {
  /** The stack's name, as the label of its objects has it. */
  readonly stack: string;
  /** Whether an `up` of it has ended well, in this namespace. */
  readonly running: boolean;
  /** The platform's namespace. */
  readonly namespace: string;
  /** Whether the stack makes that. */
  readonly createNamespace: boolean;
  readonly certManager: { readonly install: boolean; readonly namespace: string };
  /** Whether the Prometheus operator's kinds are used. */
  readonly monitoring: boolean;
  /** Objects whose names others may have given to theirs. */
  readonly objects: readonly ObjectName[];
}

export interface ObjectName {
  readonly kind: "Deployment" | "StatefulSet" | "Service" | "ClusterIssuer";
  /** Of those that have one. */
  readonly namespace?: string;
  readonly name: string;
}

/** What is there; `unknown` where the caller may not look, or need not. */
export type Found<T> = T | "absent" | "unknown";

/** The stack whose label an object carries, if any. */
export interface Owner {
  readonly stack?: string;
}

/** A cert-manager that runs. */
export interface Controller extends Owner {
  /** Of its pods; the owner is that of this namespace, where it was looked at. */
  readonly namespace: string;
  /** Where it looks for the Secrets of ClusterIssuers. */
  readonly issuersIn: string;
  /** Such as `v1.21.2`, where its pods say so. */
  readonly version?: string;
}

/** Custom kinds, and the Helm release that they are of. */
export interface Kinds {
  readonly release?: string;
}

export interface Neighbours {
  /** The platform's namespace. */
  readonly home: Found<Owner>;
  /** That in which the stack installs cert-manager. */
  readonly certManagerHome: Found<Owner>;
  readonly controllers: readonly Controller[];
  /** cert-manager's. */
  readonly kinds: Found<Kinds>;
  /** The Prometheus operator's. */
  readonly monitoringKinds: Found<Kinds>;
  /** Those of the wanted objects that are there. */
  readonly objects: readonly (ObjectName & Owner)[];
  /** Claims of an etcd's volumes. */
  readonly claims: readonly string[];
}
