// Client of the APISIX Admin API over mutual TLS.

export type * from "./references.ts";
