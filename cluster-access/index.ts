// What needs nothing but Node: the gateway's renewer runs it too. `cluster.ts` has what needs a Kubernetes client.

export * from "./access.ts";
export * from "./certificates.ts";
export * from "./errors.ts";
export * from "./exchange.ts";
export * from "./handshake.ts";
export * from "./served.ts";
export * from "./transport.ts";
export * from "./until.ts";
