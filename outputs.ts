// What the stack gives to other stacks and to `verify`: references and public data, nothing secret. The schema is the check, and the types follow from it.

import { type Plane, planes } from "@mtls-everywhere/vocabulary/planes";
import { z } from "zod";

/**
 * Versions of these outputs that this program reads, the newest first: they rise when a name or a meaning changes or goes, not
 * when one is added. Version 1 has `caller.clientCertificate`, which upstreams of release 0.1 need.
 */
export const contractVersions = [2, 1] as const;

const text = z.string();
const number = z.number();
const object = { namespace: text, name: text };
const entry = { ...object, key: text };
/** The pods behind one TLS port. */
const pods = { namespace: text, selector: text, port: number, serverName: text };

const trustOf = <P extends Plane>(plane: P) => z.object({ ...entry, plane: z.literal(plane) });
const leafOf = <P extends Plane>(plane: P) =>
  z.object({ ...object, plane: z.literal(plane), dnsNames: z.array(text).readonly().exactOptional() });
const issuerOf = <P extends Plane>(plane: P) =>
  z.object({ plane: z.literal(plane), kind: z.enum(["Issuer", "ClusterIssuer"]), name: text, group: text });
/** The same form for every plane, whichever it is. */
const perPlane = <S extends z.ZodType>(one: S) =>
  z.object(Object.fromEntries(planes.map((plane) => [plane, one])) as { readonly [P in Plane]: S });

/** Where clients reach the platform. */
const gateway = z.object({
  ...pods,
  /** `https://<host>/`, the host being also the SNI that clients must send. */
  url: text,
  /** The cluster-internal Service in front of the gateway. */
  service: z.object({ ...object, port: number }),
  /** Roots of the gateway's certificate and of the client certificates it accepts. */
  trust: trustOf("edge"),
});
export type GatewayEndpoint = z.infer<typeof gateway>;

/** What it takes to speak to the Admin API, by reference; `AdminEndpoint` describes each. */
const admin = z.object({
  ...pods,
  cluster: text,
  trust: z.object(entry),
  certificate: z.object(object),
  key: z.object(entry),
  renews: z.boolean().exactOptional(),
  presents: z.enum(["ECDSA", "RSA"]).exactOptional(),
  sealedBy: text.exactOptional(),
});

/** APISIX's store, and the credentials that APISIX uses there, by reference. */
const store = z.object({
  ...pods,
  cluster: text,
  trust: z.object(entry),
  /** Client certificate of the etcd plane, with an empty subject. */
  certificate: z.object(object),
  /** URLs as APISIX dials them: every member of etcd, or the Service of a single one. */
  endpoints: z.array(text).readonly(),
  /** The peer port: only members may speak there. */
  peer: z.object(pods),
  /** The user that APISIX signs in as; it may touch keys under `prefix` only. */
  user: text,
  password: z.object(entry),
  prefix: text,
});
export type StoreEndpoint = z.infer<typeof store>;

/** A service behind the gateway that verifies its caller. */
const upstream = z.object({
  node: z.object({ host: text, port: number }),
  /** Name that the service's certificate carries and APISIX verifies. */
  serverName: text,
  trust: trustOf("upstream"),
  /** The leaf that APISIX presents to it. */
  clientCertificate: leafOf("upstream"),
  /** The pods behind the node, to look at the service without the gateway. */
  pods: z.object(pods),
});
export type UpstreamEndpoint = z.infer<typeof upstream>;

const identity = z.object({ trustDomain: text, namespace: text, serviceAccount: text });

/** As whom the gateway calls the services behind it. */
const caller = z.object({
  /**
   * Id of the `ApisixSsl` that release 0.1 presented: there only while an `ApisixUpstream` names it as its `clientCertificate`. Name
   * none: the gateway presents its leaf by itself.
   */
  clientCertificate: text.exactOptional(),
  /** Who that certificate speaks for. */
  identity,
  /** All that it may speak for while generations of roots overlap, `identity` first: let a service answer these alone. Since 0.2. */
  identities: z.array(identity).readonly().exactOptional(),
});
export type GatewayCaller = z.infer<typeof caller>;

/** Which roots are trusted, and which sign; public. */
const generations = z.object({
  /** Name of the generation that signs this stack's leaves. */
  active: text,
  trusted: z.array(text).readonly(),
  /** The stack's first generation: names of its issuers carry no name of a generation. */
  founder: text,
  /** SHA-256 of each generation's roots, by plane and the generation's name: one, unless a lost one was made anew. */
  digests: perPlane(z.record(text, z.array(text).readonly())),
});

/** The stack's outputs, by name. */
const platform = z.object({
  /** Which of `contractVersions` they are of. */
  contract: number,
  trustDomain: text,
  namespace: text,
  gateway,
  admin,
  store,
  caller,
  upstream,
  issuers: z.object({
    etcd: issuerOf("etcd"),
    "etcd-peer": issuerOf("etcd-peer"),
    admin: issuerOf("admin"),
    edge: issuerOf("edge"),
    upstream: issuerOf("upstream"),
  }),
  trust: z.object({
    etcd: trustOf("etcd"),
    "etcd-peer": trustOf("etcd-peer"),
    admin: trustOf("admin"),
    edge: trustOf("edge"),
    upstream: trustOf("upstream"),
  }),
  /** PEM roots per plane: public, for clients outside the cluster. */
  roots: perPlane(text),
  /** Since 0.2. */
  generations: generations.exactOptional(),
  /** The Secret that each plane's server has its leaf from. Since 0.2. */
  serverCertificates: z
    .object({
      etcd: leafOf("etcd"),
      "etcd-peer": leafOf("etcd-peer"),
      admin: leafOf("admin"),
      edge: leafOf("edge"),
      upstream: leafOf("upstream"),
    })
    .exactOptional(),
  /** Routes as the Admin API holds them. */
  routes: z.array(z.object({ id: text, hosts: z.array(text).readonly(), uris: z.array(text).readonly() })).readonly(),
});
export type PlatformOutputs = z.infer<typeof platform>;

/** The value as the stack's outputs, or an error that names all that is missing. */
export function parseOutputs(value: unknown, stack?: string): PlatformOutputs {
  const { contract } = (value ?? {}) as Partial<PlatformOutputs>;
  if (typeof contract === "number" && !contractVersions.some((version) => version === contract)) {
    throw new Error(
      `The outputs of ${stack ? `stack ${stack}` : "the stack"} are of version ${contract}, but this program reads version ${contractVersions.join(" or ")}. ` +
        "Use the release of mtls-everywhere that the platform was brought up with.",
    );
  }
  const parsed = platform.safeParse(value, { reportInput: true });
  // As it is: what the schema does not name is nothing against it.
  if (parsed.success) return value as PlatformOutputs;
  const up = `pulumi up${stack ? ` -s ${stack}` : ""}`;
  throw new Error(`${parsed.error.issues.map(problem).join("\n")}\nRun \`${up}\` first.`);
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
  return Object.keys(platform.shape) as (keyof PlatformOutputs)[];
}

function problem(issue: z.core.$ZodIssue): string {
  const path = issue.path.reduce<string>(
    (before, part) =>
      typeof part === "number" ? `${before}[${part}]` : before ? `${before}.${String(part)}` : String(part),
    "",
  );
  if (issue.input === undefined || issue.input === null) return `stack output "${path}" is missing`;
  const wanted = issue.code === "invalid_type" ? (names[issue.expected] ?? issue.expected) : wordsOf(issue);
  return `stack output "${path}" must be ${wanted}, but is ${JSON.stringify(issue.input)}`;
}

const names: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  boolean: "a boolean",
  array: "a list",
  object: "an object",
  record: "an object",
};

function wordsOf(issue: z.core.$ZodIssue): string {
  return issue.code === "invalid_value"
    ? issue.values.map((value) => JSON.stringify(value)).join(" or ")
    : "of another form";
}
