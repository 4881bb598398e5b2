// Client of the APISIX Admin API over mutual TLS. What is exported as a value needs nothing but Node: the gateway's renewer runs it too.

export * from "./body.ts";
export * from "./client.ts";
export * from "./ownership.ts";
export * from "./renewal.ts";
export * from "./sealing.ts";
export * from "./session.ts";
export type { Condition } from "./kinds/conditions.ts";
export type { HealthChecks, KeepAlivePool } from "./kinds/health.ts";
export type { KindName } from "./kinds/registry.ts";
export type { Method } from "./kinds/routes.ts";
export type { TlsProtocol } from "./kinds/ssls.ts";
export type { Balancer, Scheme, UpstreamNode } from "./kinds/upstreams.ts";
export type { Timeouts } from "./kinds/values.ts";
