// What the stack gives to other stacks and to `verify`: references and public data, nothing secret. The schema is the check, and the types follow from it.

import {
  type AdminEndpoint,
  adminEndpoint,
  type GatewayCaller,
  gatewayCaller,
  type GatewayEndpoint,
  gatewayEndpoint,
  type StoreEndpoint,
  storeEndpoint,
  type UpstreamEndpoint,
  upstreamEndpoint,
} from "@mtls-everywhere/vocabulary/endpoints";
import { type Allow, client, ownedHost } from "@mtls-everywhere/vocabulary/identities";
import { issuerOf, leafOf, ofEachPlane, perPlane, trustOf } from "@mtls-everywhere/vocabulary/planes";
import { named } from "@mtls-everywhere/vocabulary/references";
import { z } from "zod";

/**
 * Versions of these outputs that this program reads, newest first. The version rises when a name or meaning changes or goes, not
 * when one is added. Version 1 has `caller.clientCertificate`, which upstreams of release 0.1 need.
 */
export const contractVersions = [2, 1] as const;

const text = z.string();

/** Which roots are trusted, and which sign; public. */
const generations = z.object({
  /** Name of the generation that signs this stack's leaves. */
  active: text,
  trusted: z.array(text).readonly(),
  /** The stack's first generation: the names of its issuers have no generation suffix. */
  founder: text,
  /** SHA-256 of each generation's roots, by plane and generation: one, unless a lost root was recreated. */
  digests: perPlane(z.record(text, z.array(text).readonly())),
});

/** Clients, or every one. */
const allow: z.ZodType<Allow> = z.union([z.literal("every client"), z.array(client).readonly()]);

/** The stack's outputs, by name. */
const platform = z.object({
  /** Version of these outputs: one of `contractVersions`. */
  contract: z.number(),
  /** Trust domain of every certificate's identity. */
  trustDomain: text,
  /** The platform's namespace. */
  namespace: text,
  /** Whether the stack created it, and deletes it with itself. Since 0.2. */
  ownsNamespace: z.boolean().exactOptional(),
  /** Where clients reach it. */
  gateway: named<GatewayEndpoint>(gatewayEndpoint),
  /** The Admin API, for objects in the gateway. */
  admin: named<AdminEndpoint>(adminEndpoint),
  /** APISIX's store: for verify. */
  store: named<StoreEndpoint>(storeEndpoint),
  /** Who the gateway is to the services it calls. */
  caller: named<GatewayCaller>(gatewayCaller),
  /**
   * Who may call the platform's own host, and the leaves of those whom the configuration names. Without `allowed`, every client with a
   * certificate of the edge plane may, until the configuration of a stack of 0.1 says who. Since 0.2.
   */
  clients: z
    .object({ allowed: allow.exactOptional(), certificates: z.array(leafOf("edge")).readonly() })
    .readonly()
    .exactOptional(),
  /** Who may call the Admin API, with one of its keys. Without it, every client of the admin plane may. Since 0.2. */
  adminClients: z.array(client).readonly().exactOptional(),
  /**
   * Hosts that other namespaces may have a leaf of the edge plane for, each in one namespace. Without it, nothing limits who gets which
   * leaf. Since 0.2.
   */
  hosts: z.array(ownedHost).readonly().exactOptional(),
  /** The platform's own upstream. */
  upstream: named<UpstreamEndpoint>(upstreamEndpoint),
  /** Who signs the leaves of each plane. */
  issuers: ofEachPlane(issuerOf),
  /** Each plane's trust bundle in the platform's namespace. */
  trust: ofEachPlane(trustOf),
  /** PEM roots per plane: public, for clients outside the cluster. */
  roots: perPlane(text),
  /** Which roots are trusted, and which sign. Since 0.2. */
  generations: generations.exactOptional(),
  /** The Secret that holds the leaf of each plane's server. Since 0.2. */
  serverCertificates: ofEachPlane(leafOf).exactOptional(),
  /** Routes as the Admin API holds them. */
  routes: z.array(z.object({ id: text, hosts: z.array(text).readonly(), uris: z.array(text).readonly() })).readonly(),
});
/** The outputs of a platform's stack. */
export interface PlatformOutputs extends z.infer<typeof platform> {}

/** The value as the stack's outputs, or an error that lists everything that is missing. */
export function parseOutputs(value: unknown, stack?: string): PlatformOutputs {
  const { contract } = (value ?? {}) as Partial<PlatformOutputs>;
  if (typeof contract === "number" && !contractVersions.some((version) => version === contract)) {
    throw new Error(
      `The outputs of ${stack ? `stack ${stack}` : "the stack"} are version ${contract}, but this program reads version ${contractVersions.join(" or ")}. ` +
        "Use the release of mtls-everywhere that deployed the platform.",
    );
  }
  const parsed = platform.safeParse(value, { reportInput: true });
  // Returned as it is: extra fields do no harm.
  if (parsed.success) return value as PlatformOutputs;
  const up = `pulumi up${stack ? ` -s ${stack}` : ""}`;
  throw new Error(`${parsed.error.issues.map(problem).join("\n")}\nRun \`${up}\` first.`);
}

/**
 * The outputs, for a consumer: its upstreams rely on a gateway that presents its leaf by default.
 * @throws when the gateway runs release 0.1, which does not.
 */
export function refuseOldGateway(outputs: PlatformOutputs, stack: string): PlatformOutputs {
  if (outputs.caller.identities !== undefined) return outputs;
  throw new Error(
    `The gateway of stack ${stack} runs release 0.1, which presents its certificate only to upstreams that name it. ` +
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
