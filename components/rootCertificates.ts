// The public roots of issued Secrets, read without their keys, for trust bundles.

import type { SecretRef } from "@mtls-everywhere/vocabulary/references";
import * as pulumi from "@pulumi/pulumi";

import { providerOf } from "./dynamicProvider.ts";

export interface RootCertificatesArgs {
  /** UID of the cluster's `kube-system` namespace: another cluster is refused. */
  readonly cluster: pulumi.Input<string>;
  /** Secrets that hold certificate authorities, or leaves with a self-signed `ca.crt`. At least one. */
  readonly secrets: pulumi.Input<pulumi.Input<SecretRef>[]>;
}

const provider = providerOf("rootCertificates");

/** Reads only `ca.crt` and `tls.crt`. A renewed root shows as a change at the next preview. */
export class RootCertificates extends pulumi.dynamic.Resource {
  /** The roots in PEM, in the order of the Secrets, each once. */
  declare readonly pem: pulumi.Output<string>;

  constructor(name: string, args: RootCertificatesArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      provider,
      name,
      { cluster: args.cluster, secrets: args.secrets, pem: undefined },
      opts,
      "mtls",
      "RootCertificates",
    );
  }
}
