// Plans what to do about operations that a killed update left pending: what may exist but be missing from the state.

/** One entry of `pending_operations` in an exported stack. */
export interface PendingOperation {
  readonly type: string;
  readonly resource: {
    readonly urn: string;
    readonly type: string;
    readonly inputs?: Readonly<Record<string, unknown>>;
  };
}

/** A Kubernetes object that may have been created. */
export interface ObjectLeftover {
  readonly leftover: "object";
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

/** A Helm release that may be partly installed or upgraded. */
export interface ReleaseLeftover {
  readonly leftover: "release";
  readonly begun: "install" | "upgrade";
  readonly name: string;
  readonly namespace: string;
}

export type Leftover = ObjectLeftover | ReleaseLeftover;

/**
 * What each pending creation, and each pending upgrade of a Helm release, may have left in the cluster: helm refuses to
 * upgrade while its record says that an upgrade is in progress. Other operations leave nothing that would trip the next
 * update, nor do creations outside Kubernetes: dynamic resources recognise what they made.
 */
export function leftovers(pending: readonly PendingOperation[]): Leftover[] {
  return pending.flatMap(({ type, resource }): Leftover[] => {
    const inputs = resource.inputs ?? {};
    if (resource.type === "kubernetes:helm.sh/v3:Release") {
      const { name, namespace } = inputs;
      const begun = type === "creating" ? "install" : type === "updating" ? "upgrade" : undefined;
      return begun && typeof name === "string" && typeof namespace === "string"
        ? [{ leftover: "release", begun, name, namespace }]
        : [];
    }
    if (type !== "creating" || !resource.type.startsWith("kubernetes:")) return [];
    const { apiVersion, kind } = inputs;
    const { name, namespace } = (inputs.metadata ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof apiVersion !== "string" || typeof kind !== "string" || typeof name !== "string") return [];
    return [{ leftover: "object", apiVersion, kind, name, ...(typeof namespace === "string" ? { namespace } : {}) }];
  });
}
