// The key of a root that cert-manager keeps in a Secret: it is deleted with the root's generation, not later.

import type { SecretRef } from "@mtls-everywhere/vocabulary/references";
import * as pulumi from "@pulumi/pulumi";

import { providerOf } from "./dynamicProvider.ts";

export interface RootKeyArgs {
  /** UID of the cluster's `kube-system` namespace: another cluster is refused. */
  readonly cluster: pulumi.Input<string>;
  /** The Secret. It is never read. */
  readonly secret: pulumi.Input<SecretRef>;
  /** The Certificate that it is issued for, in the same namespace; another Certificate's Secret is left alone. */
  readonly certificate: pulumi.Input<string>;
}

const provider = providerOf("rootKey");

/**
 * Deletes the Secret when it is deleted itself, even where cert-manager would leave it (it runs without
 * `--enable-certificate-owner-ref` by default). Make the Certificate depend on this: it must be deleted first.
 */
export class RootKey extends pulumi.dynamic.Resource {
  constructor(name: string, args: RootKeyArgs, opts?: pulumi.CustomResourceOptions) {
    const { cluster, secret, certificate } = args;
    super(provider, name, { cluster, secret, certificate }, opts, "mtls", "RootKey");
  }
}
