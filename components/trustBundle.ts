// A trust bundle: the public roots of a plane as a ConfigMap, for whoever must verify its certificates.

import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import type { Plane, TrustRef } from "./planes.ts";

export interface TrustBundleArgs<P extends Plane> {
  readonly plane: P;
  /** Namespace of the ConfigMap: that of the pods that mount it. */
  readonly namespace: pulumi.Input<string>;
  /** Root certificates in PEM; several during an overlap. */
  readonly roots: pulumi.Input<string>;
}

/** Name of the ConfigMap's entry, as in cert-manager's Secrets. */
export const trustKey = "ca.crt";

/** ConfigMap `<plane>-trust` with the plane's roots. */
export class TrustBundle<P extends Plane> extends pulumi.ComponentResource {
  readonly trust: pulumi.Output<TrustRef<P>>;

  constructor(name: string, args: TrustBundleArgs<P>, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:TrustBundle", name, {}, opts);
    const map = new k8s.core.v1.ConfigMap(
      name,
      { metadata: { name: `${args.plane}-trust`, namespace: args.namespace }, data: { [trustKey]: args.roots } },
      { parent: this },
    );
    this.trust = map.metadata.apply(({ name, namespace }): TrustRef<P> => ({
      plane: args.plane,
      namespace,
      name,
      key: trustKey,
    }));
    this.registerOutputs({ trust: this.trust });
  }
}
