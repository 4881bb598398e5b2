// The hops of the matrix as values: each server of the platform, and what its right client presents and asks.

import type { KeyPair, Request } from "@mtls-everywhere/cluster-access";
import type { Plane } from "@mtls-everywhere/vocabulary/planes";
import type { PodPort } from "@mtls-everywhere/vocabulary/references";

import type { PlatformOutputs } from "../../../outputs.ts";
import type { ServerHop, Threat } from "../check.ts";
import { clientLeaf, type Material } from "../material.ts";

export interface Server {
  readonly hop: ServerHop;
  /** The plane of its clients' certificates, and of its own unless it is the gateway, which may show another. */
  readonly plane: Plane;
  /** What its own certificate chains to. */
  readonly roots: (material: Material) => string;
  readonly at: PodPort;
  /** What stands for a client with a wrong certificate. */
  readonly threat: Threat;
  /** What the right client presents. */
  readonly pair: (material: Material) => Promise<KeyPair>;
  /** What is asked. */
  readonly request: (material: Material) => Request;
  /** Status of the answer to that client. */
  readonly answers: 200 | 403;
}

/** In the report's order. */
export function serversOf(outputs: PlatformOutputs): readonly Server[] {
  const { gateway, admin, store, upstream } = outputs;
  const server = (
    hop: ServerHop,
    plane: Plane,
    at: PodPort,
    threat: Threat,
    request: Server["request"] = () => ({ path: "/" }),
  ): Server => ({
    ...{ hop, plane, at, threat, request, answers: 200 },
    roots: ({ roots }) => roots[plane],
    pair: (material) => clientLeaf(material, plane),
  });
  const version = () => ({ path: "/version" });
  return [
    {
      ...server("gateway", "edge", gateway, "T1", () => requestFor(gateway.url)),
      roots: ({ gatewayRoots }) => gatewayRoots,
      pair: async (material) => material.client ?? clientLeaf(material, "edge"),
      answers: isListed(outputs) && outputs.clients?.certificates.length === 0 ? 403 : 200,
    },
    server("Admin API", "admin", admin, "T3", ({ adminKey }) => adminRequest(adminKey)),
    server("etcd", "etcd", store, "T5", version),
    server("etcd peers", "etcd-peer", store.peer, "T7", version),
    server("upstream", "upstream", upstream.pods, "T10"),
  ];
}

/** Whether the platform's own host answers only clients that it names: the checks' own leaf is none of theirs. */
export function isListed({ clients }: PlatformOutputs): boolean {
  const { allowed = "every client" } = clients ?? {};
  return allowed !== "every client";
}

/** The request for a URL of the gateway. */
export function requestFor(url: string): Request {
  const { host, pathname, search } = new URL(url);
  return { path: pathname + search, headers: { host } };
}

/** A request to the Admin API, with this key. */
export function adminRequest(key?: string): Request {
  return { path: "/apisix/admin/routes", ...(key ? { headers: { "x-api-key": key } } : {}) };
}
