// Client of the APISIX Admin API over mutual TLS. Needs nothing but Node: the rotation sidecar runs it too.

export type * from "./references.ts";
export * from "./body.ts";
export * from "./certificates.ts";
export * from "./client.ts";
export * from "./compare.ts";
export * from "./errors.ts";
export * from "./exchange.ts";
export * from "./handshake.ts";
export * from "./objects.ts";
export * from "./ownership.ts";
export * from "./renewal.ts";
export * from "./session.ts";
export { until, type Waiting } from "./until.ts";
