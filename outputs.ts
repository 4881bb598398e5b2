// What the stack gives to other stacks and to `verify`: references and public data, nothing secret. And the check that it is all there.

import type { AdminEndpoint, EtcdEndpoint, PodPort, SecretKeyRef } from "@mtls-everywhere/apisix-admin";

import type { CertSecretRef, Identity, IssuerRef, Plane, TrustRef } from "./components/planes.ts";

/**
 * Versions of these outputs that this program reads, the newest first: they rise when a name or a meaning changes or goes, not
 * when one is added. Version 1 has `caller.clientCertificate`, which upstreams of release 0.1 need.
 */
export const contractVersions = [2, 1] as const;

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
  /** URLs as APISIX dials them: every member of etcd, or the Service of a single one. */
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

/** As whom the gateway calls the services behind it. */
export interface GatewayCaller {
  /**
   * Id of the `ApisixSsl` that release 0.1 presented: there only while an `ApisixUpstream` names it as its `clientCertificate`. Name
   * none: the gateway presents its leaf by itself.
   */
  readonly clientCertificate?: string;
  /** Who that certificate speaks for. */
  readonly identity: Identity;
  /** All that it may speak for while generations of roots overlap, `identity` first: let a service answer these alone. Since 0.2. */
  readonly identities?: readonly Identity[];
}

/** Which roots are trusted, and which sign; public. */
export interface TrustedGenerations {
  /** Name of the generation that signs this stack's leaves. */
  readonly active: string;
  readonly trusted: readonly string[];
  /** The stack's first generation: names of its issuers carry no name of a generation. */
  readonly founder: string;
  /** SHA-256 of each generation's root, by plane and the generation's name. */
  readonly digests: { readonly [P in Plane]: Readonly<Record<string, string>> };
}

/** A route as the Admin API holds it. */
export interface RouteSummary {
  readonly id: string;
  readonly hosts: readonly string[];
  readonly uris: readonly string[];
}

/** The stack's outputs, by name. */
export interface PlatformOutputs {
  /** Which of `contractVersions` they are of. */
  readonly contract: number;
  readonly trustDomain: string;
  readonly namespace: string;
  readonly gateway: GatewayEndpoint;
  readonly admin: AdminEndpoint;
  readonly store: StoreEndpoint;
  readonly caller: GatewayCaller;
  readonly upstream: UpstreamEndpoint;
  readonly issuers: { readonly [P in Plane]: IssuerRef<P> };
  readonly trust: { readonly [P in Plane]: TrustRef<P> };
  /** PEM roots per plane: public, for clients outside the cluster. */
  readonly roots: { readonly [P in Plane]: string };
  /** Since 0.2. */
  readonly generations?: TrustedGenerations;
  /** The Secret that each plane's server has its leaf from. Since 0.2. */
  readonly serverCertificates?: { readonly [P in Plane]: CertSecretRef<P> };
  readonly routes: readonly RouteSummary[];
}

/** The value as the stack's outputs, or an error that names all that is missing. */
export function parseOutputs(value: unknown, stack?: string): PlatformOutputs {
  const contract = (value as Partial<PlatformOutputs> | null)?.contract;
  if (typeof contract === "number" && !contractVersions.some((version) => version === contract)) {
    throw new Error(
      `The outputs of ${stack ? `stack ${stack}` : "the stack"} are of version ${contract}, but this program reads version ${contractVersions.join(" or ")}. ` +
        "Use the release of mtls-everywhere that the platform was brought up with.",
    );
  }
  const problems = problemsOf(value, shape, "");
  if (problems.length === 0) return value as PlatformOutputs;
  const up = `pulumi up${stack ? ` -s ${stack}` : ""}`;
  throw new Error(`${problems.map((problem) => `stack output ${problem}`).join("\n")}\nRun \`${up}\` first.`);
}

/**
 * The outputs, for a consumer: its upstreams rely on a gateway that presents its leaf by itself.
 * @throws when the gateway is of release 0.1, which did not.
 */
export function refuseOldGateway(outputs: PlatformOutputs, stack: string): PlatformOutputs {
  if (outputs.caller.identities !== undefined) return outputs;
  throw new Error(
    `The gateway of stack ${stack} is of release 0.1: it presents its certificate to no upstream that does not name it. ` +
      `Run \`pulumi up -s ${stack}\` with this release first.`,
  );
}

/** Names of the outputs. */
export function outputNames(): readonly (keyof PlatformOutputs)[] {
  return Object.keys(shape) as (keyof PlatformOutputs)[];
}

/** The form of a value, as data. */
type Shape<T> = [T] extends [string]
  ? "string"
  : [T] extends [number]
    ? "number"
    : [T] extends [boolean]
      ? "boolean"
      : T extends readonly (infer Item)[]
        ? readonly [Shape<Item>]
        : string extends keyof T
          ? { readonly each: Shape<T[string & keyof T]> }
          : {
              readonly [K in keyof T]-?: undefined extends T[K]
                ? { readonly optional: Shape<NonNullable<T[K]>> }
                : Shape<T[K]>;
            };
type AnyShape = "string" | "number" | "boolean" | readonly [AnyShape] | { readonly [key: string]: AnyShape };

const object = { namespace: "string", name: "string" } as const;
const entry = { ...object, key: "string" } as const;
const pods = { namespace: "string", selector: "string", port: "number", serverName: "string" } as const;
const trust = { ...entry, plane: "string" } as const;
const identity = { trustDomain: "string", namespace: "string", serviceAccount: "string" } as const;
const leaf = { ...object, plane: "string", dnsNames: { optional: ["string"] } } as const;
const issuer = { plane: "string", kind: "string", name: "string", group: "string" } as const;

function perPlane<const S>(one: S) {
  return { etcd: one, "etcd-peer": one, admin: one, edge: one, upstream: one };
}

/** The names of the outputs, and the form of each. */
const shape: Shape<PlatformOutputs> = {
  contract: "number",
  trustDomain: "string",
  namespace: "string",
  gateway: { ...pods, url: "string", service: { ...object, port: "number" }, trust },
  admin: {
    ...pods,
    cluster: "string",
    trust: entry,
    certificate: object,
    key: entry,
    renews: { optional: "boolean" },
    sealedBy: { optional: "string" },
  },
  store: {
    ...pods,
    cluster: "string",
    trust: entry,
    certificate: object,
    endpoints: ["string"],
    peer: pods,
    user: "string",
    password: entry,
    prefix: "string",
  },
  caller: {
    clientCertificate: { optional: "string" },
    identity,
    identities: { optional: [identity] },
  },
  upstream: {
    node: { host: "string", port: "number" },
    serverName: "string",
    trust,
    clientCertificate: leaf,
    pods,
  },
  issuers: perPlane(issuer),
  trust: perPlane(trust),
  roots: perPlane("string"),
  generations: {
    optional: { active: "string", trusted: ["string"], founder: "string", digests: perPlane({ each: "string" }) },
  },
  serverCertificates: { optional: perPlane(leaf) },
  routes: [{ id: "string", hosts: ["string"], uris: ["string"] }],
};

function problemsOf(value: unknown, wanted: AnyShape, path: string): string[] {
  const { optional, each } = wanted as Partial<Record<"optional" | "each", AnyShape>>;
  if (optional !== undefined) return value === undefined || value === null ? [] : problemsOf(value, optional, path);
  if (value === undefined || value === null) return [`"${path}" is missing`];
  if (typeof wanted === "string") {
    return typeof value === wanted ? [] : [`"${path}" must be a ${wanted}, but is ${JSON.stringify(value)}`];
  }
  if (isList(wanted)) {
    if (!Array.isArray(value)) return [`"${path}" must be a list, but is ${JSON.stringify(value)}`];
    return value.flatMap((item, i) => problemsOf(item, wanted[0], `${path}[${i}]`));
  }
  if (typeof value !== "object") return [`"${path}" must be an object, but is ${JSON.stringify(value)}`];
  const keys = each === undefined ? wanted : Object.fromEntries(Object.keys(value).map((key) => [key, each]));
  return Object.entries(keys).flatMap(([key, inner]) =>
    problemsOf((value as Record<string, unknown>)[key], inner, path ? `${path}.${key}` : key),
  );
}

function isList(wanted: AnyShape): wanted is readonly [AnyShape] {
  return Array.isArray(wanted);
}
