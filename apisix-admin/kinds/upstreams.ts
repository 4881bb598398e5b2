// Upstreams: the servers behind a route. The gateway always verifies them by name, so Host and SNI are the name in their certificate.

import { keyFamily } from "@mtls-everywhere/cluster-access";
import { z } from "zod";

import type { Body } from "../body.ts";
import { healthChecks, keepAlivePool, snakeCase } from "./health.ts";
import { defineKind } from "./kind.ts";
import { isPublicName, nodeHost, serverName } from "./names.ts";
import { objectIdentity, isCount, isPort, limitsOf, listOf, oneOf, seconds, timeouts, value, whole } from "./values.ts";

/** Without grpcs: 3.18 verifies no server certificate there (its template has no `grpc_ssl_verify`), whatever its settings say. */
const scheme = oneOf(["https", "http", "grpc"]);
export type Scheme = z.infer<typeof scheme>;

/** Balancers that need no further settings; the server accepts any word and then fails every request. */
const balancer = oneOf(["roundrobin", "least_conn", "ewma"]);
export type Balancer = z.infer<typeof balancer>;

const node = z.object({
  /** Name or address that the gateway dials. */
  host: nodeHost,
  /** Port that its server listens on. */
  port: value<number>(isPort, (port) =>
    port === undefined
      ? "A node needs the port that its server listens on."
      : `A port must be from 1 to 65535, not ${JSON.stringify(port)}.`,
  ),
  /**
   * Share of requests relative to the other nodes; 0 takes a node out.
   * @default 1
   */
  weight: value<number>(
    isCount,
    (weight) => `A weight must be a whole number of at least 0, not ${String(weight)}.`,
  ).optional(),
});
/** A server behind an upstream. */
export interface UpstreamNode extends Readonly<z.infer<typeof node>> {}

const schema = objectIdentity
  .extend({
    serverName,
    nodes: listOf(node, "An upstream without nodes answers every request with 503: give at least one."),
    balancer: balancer.optional(),
    scheme: scheme.optional(),
    timeout: timeouts.optional(),
    clientCertificate: z.string().optional(),
    retries: whole(0).optional(),
    retryTimeout: seconds.optional(),
    healthChecks: healthChecks.optional(),
    keepAlivePool: keepAlivePool.optional(),
  })
  .refine(({ clientCertificate, scheme = "https" }) => clientCertificate === undefined || !plain.has(scheme), {
    path: ["clientCertificate"],
    error: "A client certificate needs TLS: use the scheme https.",
    when: () => true, // whatever else is wrong
  })
  .superRefine(({ nodes, scheme = "https" }, context) => {
    for (const [at, { host }] of nodes.entries())
      if (!plain.has(scheme) && isPublicName(host))
        context.addIssue({ code: "custom", path: ["nodes", at, "host"], message: whyNotPublic(host) });
  });

/** The gateway's trust towards upstreams is one for all of them in 3.18, and its pods may speak to other pods alone. */
function whyNotPublic(host: string): string {
  return (
    `"${host}" is a server on the internet: the gateway trusts only certificates of the upstream plane, so every request would be answered with 502. ` +
    `Reach it through an EgressProxy, which verifies it against its own authorities; a Service's own name is written with ".svc".`
  );
}

const plain: ReadonlySet<Scheme> = new Set(["http", "grpc"]);

export const upstreams = defineKind({
  schema,
  defaults: { type: "roundrobin", scheme: "http", pass_host: "pass", hash_on: "vars" },

  body: ({ balancer, scheme, serverName, nodes, clientCertificate, timeout, ...spec }) => ({
    type: balancer ?? "roundrobin",
    scheme: scheme ?? "https",
    pass_host: "rewrite",
    upstream_host: serverName,
    nodes: nodes.map(({ host, port, weight }) => ({ host, port, weight: weight ?? 1 })),
    tls: clientCertificate === undefined ? undefined : { client_cert_id: clientCertificate },
    timeout: timeout && limitsOf(timeout),
    retries: spec.retries,
    retry_timeout: spec.retryTimeout,
    checks: snakeCase(spec.healthChecks),
    keepalive_pool: snakeCase(spec.keepAlivePool),
  }),

  comparable({ tls, ...object }) {
    if (tls === undefined) return object;
    // Returned encrypted: a new key comes with a new certificate.
    const { client_key: _key, ...shown } = tls as Body;
    return { ...object, tls: shown };
  },

  /** nginx would hold both certificates, and choose by what the server accepts: not tried on a real gateway yet. */
  async beforePut({ admin, objectId, clientCertificate }, _sources, referred) {
    if (clientCertificate === undefined || admin.presents === undefined) return;
    const named = await referred.get("ssls", clientCertificate);
    if (named === undefined) return; // The server reports it.
    const family = keyFamily(String(named["cert"])) ?? "of another kind";
    if (family === admin.presents) return;
    throw new Error(
      `upstreams/${objectId}: the key of ssls/${clientCertificate} is ${family}, but that of the gateway's own client certificate is ${admin.presents}. ` +
        `Issue the client certificate with ${admin.presents}, or name none.`,
    );
  },

  /** A route or service may name it in a plugin's settings, too. */
  async inUse(id, referrers) {
    const users = await Promise.all((["routes", "services"] as const).map((kind) => referrers.list(kind)));
    return JSON.stringify(users).includes(`"upstream_id":${JSON.stringify(id)}`);
  },
});
