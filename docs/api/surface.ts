// The public surface: what stacks use that put something behind the gateway, this one's and other teams'. The entry of the package that these install,
// and what `npm run docs` makes docs/api.md from.

export * from "../../consume.ts";
export type { PlatformOutputs } from "../../outputs.ts";

export { type ConnectedCluster, connectCluster } from "../../components/cluster.ts";
export {
  Certificate,
  type CertificateArgs,
  type LeafAuthority,
  type LeafLimits,
  type LeafUsage,
} from "../../components/certificate.ts";
export type { PlaneAuthority } from "../../components/certificateAuthority.ts";
export {
  ForeignCertificate,
  type ForeignCertificateArgs,
  type ForeignIssuer,
} from "../../components/foreignCertificate.ts";
export { EgressProxy, type EgressProxyArgs } from "../../components/egressProxy.ts";
export type * from "../../components/gateway.ts";
export type { Pods } from "../../components/edges.ts";
export { closedNamespace, type NamespaceArgs } from "../../components/namespace.ts";
export { NginxUpstream, type NginxUpstreamArgs } from "../../components/nginxUpstream.ts";
export type { ForeignLeafRef, OutsideService, OutsideServices } from "../../components/outsideServices.ts";
export { RenewerGrant, type RenewerGrantArgs } from "../../components/renewerGrant.ts";
export * from "../../components/site.ts";
export { TrustBundle, type TrustBundleArgs } from "../../components/trustBundle.ts";
export { watchDenials } from "../../progress/denials.ts";
export { watchPulls } from "../../progress/pulls.ts";

export { ApisixGlobalRule, type ApisixGlobalRuleArgs } from "../../components/gateway/apisixGlobalRule.ts";
export { ApisixPluginConfig, type ApisixPluginConfigArgs } from "../../components/gateway/apisixPluginConfig.ts";
export { ApisixRoute, type ApisixRouteArgs } from "../../components/gateway/apisixRoute.ts";
export * from "../../components/gateway/apisixSsl.ts";
export { ApisixUpstream, type ApisixUpstreamArgs } from "../../components/gateway/apisixUpstream.ts";
export type { Condition, HealthChecks, KeepAlivePool, Timeouts, UpstreamNode } from "@mtls-everywhere/apisix-admin";

export type { KeyAlgorithm } from "@mtls-everywhere/vocabulary/algorithms";
export type {
  AdminEndpoint,
  GatewayCaller,
  GatewayEndpoint,
  KeepingEtcd,
  StoreEndpoint,
  UpstreamEndpoint,
} from "@mtls-everywhere/vocabulary/endpoints";
export type { Allow, Client, Identity } from "@mtls-everywhere/vocabulary/identities";
export type { CertSecretRef, IssuerRef, Plane, TrustRef } from "@mtls-everywhere/vocabulary/planes";
export type {
  ConfigMapKeyRef,
  LeafRef,
  PodPort,
  SecretKeyRef,
  SecretRef,
} from "@mtls-everywhere/vocabulary/references";
