// A trust bundle: the public roots of a plane as a ConfigMap, for whoever must verify its certificates.

import type { Plane, TrustRef } from "@mtls-everywhere/vocabulary/planes";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

/** Whose roots go where. */
export interface TrustBundleArgs<P extends Plane> {
  /** The plane that the roots are of. */
  readonly plane: P;
  /** Namespace of the ConfigMap: that of the pods that mount it. */
  readonly namespace: pulumi.Input<string>;
  /** Root certificates in PEM; several during an overlap. */
  readonly roots: pulumi.Input<string>;
  /**
   * SHA-256 of the roots by their generation's name, which the platform's own bundles state.
   * @default not stated
   */
  readonly digests?: pulumi.Input<Readonly<Record<string, readonly string[]>>>;
}

/** Name of the ConfigMap's entry, as in cert-manager's Secrets. */
export const trustKey = "ca.crt";

/** Label of every bundle, in any namespace: its value is the plane. A rotation waits for those that lack a root. */
export const trustLabel = "mtls-everywhere/trust";

/** Annotation with the generations of the roots, as JSON: digests by the generation's name. */
export const generationsAnnotation = "mtls-everywhere/generations";
/** Where a plane's bundle is in a namespace. */
export function trustRef<P extends Plane>(plane: P, namespace: string): TrustRef<P> {
  return { plane, namespace, name: `${plane}-trust`, key: trustKey };
}

/**
 * ConfigMap `<plane>-trust` with the plane's roots. A rotation of roots waits until every bundle of the cluster has the new one.
 * @example
 * const { trust } = new TrustBundle("trust", { plane: "upstream", namespace: "shop", roots: platform.roots.upstream });
 */
export class TrustBundle<P extends Plane> extends pulumi.ComponentResource {
  /** Where the roots are, for whoever mounts them. */
  readonly trust: pulumi.Output<TrustRef<P>>;

  constructor(name: string, args: TrustBundleArgs<P>, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:TrustBundle", name, {}, opts);
    const { name: mapName } = trustRef(args.plane, "");
    const metadata = {
      name: mapName,
      namespace: args.namespace,
      labels: { [trustLabel]: args.plane },
      ...(args.digests ? { annotations: { [generationsAnnotation]: pulumi.jsonStringify(args.digests) } } : {}),
    };
    const map = new k8s.core.v1.ConfigMap(name, { metadata, data: { [trustKey]: args.roots } }, { parent: this });
    // Not from its metadata: while a root has yet to be created, a preview does not know the annotation.
    this.trust = pulumi.all([args.namespace, map.urn]).apply(([namespace]) => trustRef(args.plane, namespace));
    this.registerOutputs({ trust: this.trust });
  }
}
