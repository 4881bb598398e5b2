// What is wanted of each object, and the Admin API body that says so.

import { type Body, defined, labels } from "./body.ts";
import { digestOf } from "./certificates.ts";
import type { KeyPair } from "./certificates.ts";
import type { SecretRef } from "./references.ts";

/** The kinds of Admin API objects that can be managed, as the API's paths spell them. */
export type ObjectKind = "upstreams" | "ssls" | "routes";

/** Without grpcs: 3.18 verifies no server certificate there (its template has no `grpc_ssl_verify`), whatever its settings say. */
export const schemes = ["https", "http", "grpc"] as const;
export type Scheme = (typeof schemes)[number];

/** Balancers that need no further settings; the server accepts any word and then fails every request. */
export const balancers = ["roundrobin", "least_conn", "ewma"] as const;
export type Balancer = (typeof balancers)[number];

export const methods = [
  "GET",
  "POST",
  "PUT",
  "DELETE",
  "PATCH",
  "HEAD",
  "OPTIONS",
  "CONNECT",
  "TRACE",
  "PURGE",
] as const;
export type Method = (typeof methods)[number];

/** TLS 1.1 is left out on purpose, though the gateway would speak it. */
export const protocols = ["TLSv1.2", "TLSv1.3"] as const;
export type TlsProtocol = (typeof protocols)[number];

export interface UpstreamNode {
  readonly host: string;
  readonly port: number;
  /** Share of requests relative to the other nodes; 0 takes a node out. Defaults to 1. */
  readonly weight?: number;
}

/** Limits towards the upstream, in seconds. */
export interface Timeouts {
  readonly connect: number;
  readonly send: number;
  readonly read: number;
}

export interface UpstreamSpec {
  readonly nodes: readonly UpstreamNode[];
  readonly serverName: string;
  readonly clientCertificate?: string;
  readonly scheme?: Scheme;
  readonly balancer?: Balancer;
  readonly timeout?: Timeouts;
}

/** A certificate with what it is used for; holds the key, so it never leaves memory. */
export interface SslSpec {
  readonly use: "server" | "client";
  readonly pair: KeyPair;
  /** Where the pair comes from. */
  readonly secret: SecretRef;
  readonly snis?: readonly string[] | undefined;
  readonly clients?: { readonly bundle: string; readonly depth?: number | undefined } | undefined;
  readonly protocols?: readonly TlsProtocol[] | undefined;
}

export interface RouteSpec {
  readonly hosts: readonly string[];
  readonly uris: readonly string[];
  readonly methods?: readonly Method[];
  readonly upstream: string;
  readonly priority?: number;
  readonly plugins?: Readonly<Record<string, unknown>>;
  readonly description?: string;
  readonly enabled?: boolean;
}

/** Whose object it is: the owner's name, and which of the owner's creations under this id. */
export interface Ownership {
  readonly owner: string;
  /** Differs for each creation: when a resource is replaced under the same id, the old one must not delete the new one's object. */
  readonly instance: string;
}

/** The upstream always verifies its server by name: Host and SNI are rewritten to the name in the certificate. */
export function upstreamBody(spec: UpstreamSpec, ownership: Ownership): Body {
  return defined({
    labels: ownershipLabels(ownership),
    type: spec.balancer ?? "roundrobin",
    scheme: spec.scheme ?? "https",
    pass_host: "rewrite",
    upstream_host: spec.serverName,
    nodes: spec.nodes.map(({ host, port, weight }) => ({ host, port, weight: weight ?? 1 })),
    tls: spec.clientCertificate === undefined ? undefined : { client_cert_id: spec.clientCertificate },
    timeout: spec.timeout && { connect: spec.timeout.connect, send: spec.timeout.send, read: spec.timeout.read },
  });
}

export function sslBody(spec: SslSpec, ownership: Ownership): Body {
  return defined({
    labels: {
      ...ownershipLabels(ownership),
      ...digestLabels(spec.pair.cert, spec.clients?.bundle),
      ...(spec.use === "server" ? { [labels.secret]: `${spec.secret.namespace}/${spec.secret.name}` } : {}),
    },
    type: spec.use,
    cert: spec.pair.cert,
    key: spec.pair.key,
    snis: spec.snis,
    client: spec.clients && { ca: spec.clients.bundle, depth: spec.clients.depth ?? 1 },
    ssl_protocols: spec.protocols,
  });
}

export function routeBody(spec: RouteSpec, ownership: Ownership): Body {
  return defined({
    labels: ownershipLabels(ownership),
    hosts: spec.hosts,
    uris: spec.uris,
    methods: spec.methods,
    upstream_id: spec.upstream,
    priority: spec.priority ?? 0,
    plugins: spec.plugins,
    desc: spec.description,
    status: spec.enabled === false ? 0 : 1,
  });
}

function ownershipLabels({ owner, instance }: Ownership): Body {
  return { [labels.owner]: owner, [labels.instance]: instance };
}

function digestLabels(cert: string, bundle: string | undefined): Body {
  return {
    [labels.certificate]: digestOf(cert),
    ...(bundle === undefined ? {} : { [labels.clientTrust]: digestOf(bundle) }),
  };
}
