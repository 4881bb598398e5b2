// What the stack gives to other stacks and to `verify`: references and public data, nothing secret.

import type { AdminEndpoint, EtcdEndpoint, PodPort, SecretKeyRef } from "@mtls-everywhere/apisix-admin";

import type { CertSecretRef, IssuerRef, Plane, TrustRef } from "./components/planes.ts";

/** Where clients reach the platform. */
export interface GatewayEndpoint extends PodPort {
  /** `https://<host>/`, the host being also the SNI that clients must send. */
  readonly url: string;
  /** The cluster-internal Service in front of the gateway. */
  readonly service: { readonly namespace: string; readonly name: string; readonly port: number };
  /** Roots of the gateway's certificate and of the client certificates it accepts. */
  readonly trust: TrustRef<"edge">;
}

/** APISIX's store, and the credentials that APISIX uses there, by reference. */
export interface StoreEndpoint extends EtcdEndpoint {
  /** `https://<service>:2379`, as APISIX dials it. */
  readonly endpoints: readonly string[];
  /** The peer port: only members may speak there. */
  readonly peer: PodPort;
  /** The user that APISIX signs in as; it may touch keys under `prefix` only. */
  readonly user: string;
  readonly password: SecretKeyRef;
  readonly prefix: string;
}

/** A service behind the gateway that verifies its caller. */
export interface UpstreamEndpoint {
  readonly node: { readonly host: string; readonly port: number };
  /** Name that the service's certificate carries and APISIX verifies. */
  readonly serverName: string;
  readonly trust: TrustRef<"upstream">;
  /** The leaf that APISIX presents to it. */
  readonly clientCertificate: CertSecretRef<"upstream">;
  /** The pods behind the node, to look at the service without the gateway. */
  readonly pods: PodPort;
}

/** A route as the Admin API holds it. */
export interface RouteSummary {
  readonly id: string;
  readonly hosts: readonly string[];
  readonly uris: readonly string[];
}

/** The stack's outputs, by name. */
export interface PlatformOutputs {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly gateway: GatewayEndpoint;
  readonly admin: AdminEndpoint;
  readonly store: StoreEndpoint;
  readonly upstream: UpstreamEndpoint;
  readonly issuers: { readonly [P in Plane]: IssuerRef<P> };
  readonly trust: { readonly [P in Plane]: TrustRef<P> };
  /** PEM roots per plane: public, for clients outside the cluster. */
  readonly roots: { readonly [P in Plane]: string };
  readonly routes: readonly RouteSummary[];
}
