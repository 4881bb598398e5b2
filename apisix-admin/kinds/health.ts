// How an upstream's nodes are watched, and how connections to them are kept.

import { z } from "zod";

import type { Body } from "../body.ts";
import { methods } from "./methods.ts";
import { isObject, oneOf, record, seconds, whole } from "./values.ts";

const type = oneOf(["http", "https", "tcp"]);
const statuses = z.array(whole(200, 599)).min(1, "Give at least one status.");

const healthy = {
  /** Answers that count as healthy. */
  httpStatuses: statuses.optional(),
  /** How many of them in a row make a node healthy. */
  successes: whole(0, 254).optional(),
};
const unhealthy = {
  /** Answers that count as unhealthy. */
  httpStatuses: statuses.optional(),
  /** How many of them, of broken connections, or of time-outs in a row make a node unhealthy. */
  httpFailures: whole(0, 254).optional(),
  tcpFailures: whole(0, 254).optional(),
  timeouts: whole(0, 254).optional(),
};
/** Seconds between two checks. */
const interval = whole(1).optional();

export const healthChecks = record({
  /** Probes each node in turn. `tcp` only connects: an `https` check presents no client certificate, and trusts no upstream's root. */
  active: record({
    type: type.optional(),
    /** Time limit of one check, in seconds. */
    timeout: seconds.optional(),
    concurrency: whole(1).optional(),
    host: z.string().optional(),
    port: whole(1, 65_535).optional(),
    httpMethod: oneOf(methods).optional(),
    httpPath: z.string().optional(),
    reqHeaders: z.array(z.string()).min(1, "Give at least one header.").optional(),
    httpsVerifyCertificate: z.boolean().optional(),
    healthy: record({ ...healthy, interval }).optional(),
    unhealthy: record({ ...unhealthy, interval }).optional(),
  }),
  /** Watches the outcome of clients' requests. Only active checks bring back a node that it has taken out. */
  passive: record({
    type: type.optional(),
    healthy: record(healthy).optional(),
    unhealthy: record(unhealthy).optional(),
  }).optional(),
});
/** How an upstream's nodes are watched. The names are the Admin API's own, in camel case; omitted fields take the server's defaults. */
export interface HealthChecks extends z.infer<typeof healthChecks> {}

export const keepAlivePool = record({
  /**
   * Idle connections to keep, across all nodes.
   * @default 320, the server's
   */
  size: whole(1).optional(),
  /**
   * How long one is kept, in seconds.
   * @default 60, the server's
   */
  idleTimeout: seconds.optional(),
  /**
   * Requests after which one is closed.
   * @default 1000, the server's
   */
  requests: whole(1).optional(),
});
/** How connections to an upstream's nodes are kept for later requests. */
export interface KeepAlivePool extends z.infer<typeof keepAlivePool> {}

/** The fields as the Admin API spells them. */
export function snakeCase(value: unknown): unknown {
  if (!isObject(value)) return value;
  const given = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(given.map(([name, field]) => [spelt(name), snakeCase(field)])) satisfies Body;
}

function spelt(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
