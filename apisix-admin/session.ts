// How the life cycle reaches a cluster: an interface, so that it also runs without Kubernetes.

import type { TLSSocket } from "node:tls";

import type { KeyPair } from "./certificates.ts";
import type { ConfigMapKeyRef, PodPort, SecretKeyRef, SecretRef } from "./references.ts";

/** What is needed of a cluster; `Cluster` provides it. */
export interface Access {
  /** Throws `WrongCluster` when this is another cluster. */
  expect(cluster: string): Promise<void>;
  keyPair(ref: SecretRef): Promise<KeyPair>;
  secretValue(ref: SecretKeyRef): Promise<string>;
  certificate(ref: SecretRef): Promise<string>;
  trustBundle(ref: ConfigMapKeyRef): Promise<string>;
  connect(to: PodPort, client: { readonly ca: string; readonly pair?: KeyPair }, signal?: AbortSignal): Promise<TLSSocket>;
}
