// A gateway, as the services behind it and its own objects see it: this stack's `Apisix`, or another stack's by its outputs.

import type { Identity } from "@mtls-everywhere/vocabulary/identities";
import type { CertSecretRef } from "@mtls-everywhere/vocabulary/planes";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type * as pulumi from "@pulumi/pulumi";

import type { Pods } from "./edges.ts";

/** Who the gateway is, and where its objects are created. */
export interface Gateway {
  /** Where its Admin API is. */
  readonly admin: pulumi.Input<AdminEndpoint>;
  /** Its pods, for the network edges to whatever it calls. */
  readonly pods: Pods;
  /** Who it is to the cluster and upstreams. */
  readonly identity: Identity;
  /** The same in each trust domain that a trusted generation was created with: upstreams should answer only these callers. */
  readonly identities: readonly Identity[];
  /**
   * Hosts that it serves without TLS, to every client.
   * @default none
   */
  readonly plainHosts?: readonly string[];
  /** The leaf that it presents to upstreams, from its own files. */
  readonly upstreamCertificate: pulumi.Output<CertSecretRef<"upstream">>;
}
