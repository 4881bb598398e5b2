// Stack configuration -> one validated, typed, immutable value.

import { isIP } from "node:net";

import { certificatesOf } from "@mtls-everywhere/cluster-access";
import { keyAlgorithms } from "@mtls-everywhere/vocabulary/algorithms";
import { hours } from "@mtls-everywhere/vocabulary/durations";
import { type Client, type OwnedHost, subjectLimit } from "@mtls-everywhere/vocabulary/identities";
import { mebibytes } from "@mtls-everywhere/vocabulary/quantities";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";

import { isOlder, oldestCertManager } from "./components/certManager.ts";
import { keyList } from "./components/keyNames.ts";

const dnsLabel = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
/** DNS labels, joined by dots. */
const dotted = (complaint: string) =>
  z
    .string()
    .max(253)
    .regex(new RegExp(`^${dnsLabel}(\\.${dnsLabel})*$`), complaint);
const dnsName = dotted(
  'must be a DNS name: lower-case letters, digits, hyphens and dots, such as "dev.example.internal"',
);
const hostName = (complaint: string) => dnsName.refine((name) => isIP(name) === 0, complaint);
const kubernetesName = z
  .string()
  .regex(new RegExp(`^${dnsLabel}$`), "must be a Kubernetes name: at most 63 lower-case letters, digits and hyphens");
/** Service accounts that get a leaf each. */
const clientNames = (name: z.ZodType<string>) =>
  z
    .array(name)
    .refine((names) => new Set(names).size === names.length, "must name each client once")
    .default([]);
/** In whole hours: cert-manager refuses lifetimes under one hour. */
const duration = z.string().regex(/^[1-9]\d*h$/, {
  error: 'must be a whole number of hours, at least "1h"',
  abort: true, // comparisons need valid durations
});
const quantity = z.string().regex(/^[1-9]\d*(Mi|Gi|Ti)$/, {
  error: 'must be a Kubernetes quantity in Mi, Gi or Ti, such as "1Gi"',
  abort: true, // comparisons need a valid quantity
});
const image = z
  .string()
  .regex(
    /^[^\s:@]+(:\d+)?(\/[^\s:@]+)*(:[\w][\w.-]*)?(@sha256:[0-9a-f]{64})?$/,
    'must be an image reference, such as "nginx:1.28"',
  )
  .refine((value) => /[:@][^/]*$/.test(value), 'must carry a tag or a digest, such as "nginx:1.28"');

export const certManager = z
  .strictObject({
    /** Install cert-manager; `false` uses the cluster's own. Default `true`. */
    install: z.boolean().default(true),
    /** Chart and application version, `v1.15.0` or newer. Default `v1.21.2`. */
    version: z
      .string()
      .regex(/^v\d+\.\d+\.\d+$/, { error: 'must be a version such as "v1.21.2"', abort: true })
      .refine(
        (version) => !isOlder(version, oldestCertManager),
        `must be "${oldestCertManager}" or newer: older charts would install no CRDs`,
      )
      .default("v1.21.2"),
    /** cert-manager's namespace, where ClusterIssuers look for their Secrets. Default `cert-manager`. */
    namespace: kubernetesName.default("cert-manager"),
    /** Chart reference: an OCI address or a local path. Default: cert-manager's own OCI chart. */
    chart: z.string().min(1, "must not be empty").default("oci://quay.io/jetstack/charts/cert-manager"),
    /** Keep the CRDs, and with them every certificate, when the release is destroyed. Default `true`. */
    keepCrds: z.boolean().default(true),
    /**
     * Keep cert-manager in the cluster, with the root keys in its namespace, when it is removed from the stack: by
     * `install: false` or another `namespace`, which are refused otherwise, or by a destroy. Default `false`.
     */
    keep: z.boolean().default(false),
    /**
     * approver-policy, which decides about requests to the platform's issuers: nobody gets a leaf for another's identity,
     * name or usage. It comes with cert-manager: with `certManager.install: false`, nothing is limited.
     */
    approver: z
      .strictObject({
        /** Install it, and limit requests. Default `true`. */
        install: z.boolean().default(true),
        /** Chart and application version. Default `v0.28.0`. */
        version: z
          .string()
          .regex(/^v\d+\.\d+\.\d+$/, 'must be a version such as "v0.28.0"')
          .default("v0.28.0"),
        /** Chart reference: an OCI address or a local path. Default: approver-policy's own OCI chart. */
        chart: z
          .string()
          .min(1, "must not be empty")
          .default("oci://quay.io/jetstack/charts/cert-manager-approver-policy"),
      })
      .prefault({}),
  })
  .prefault({});

/** Whole numbers are names too: `2026` needs no quotes. */
const generation = z.preprocess(
  (value) => (Number.isSafeInteger(value) ? String(value) : value),
  z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?$/, 'must be a short name, such as "2026"')
    .refine(
      (value) => !/^peer(-|$)|self-signed$/.test(value),
      'must not start with "peer" or end with "self-signed": other objects use such names',
    ),
);
/** Names of the trusted generations. Default: only the active one. */
const trusted = z.array(generation).min(1).optional();
const root = z
  .discriminatedUnion("kind", [
    /** cert-manager creates the root in the cluster and keeps its key there. */
    z.strictObject({
      kind: z.literal("cluster"),
      /** Name of the generation that signs. Default `1`. */
      active: generation.default("1"),
      trusted,
    }),
    /** The root's key is in Pulumi's state, encrypted; the cluster holds an intermediate. */
    z.strictObject({
      kind: z.literal("stateHeld"),
      /** Name of the generation that signs. */
      active: generation,
      trusted,
      /** Refuse to delete the active generation's roots. Default `true`. */
      protect: z.boolean().default(true),
      /** Lifetime of intermediates; `pulumi up` renews them in the last third. Default a year. */
      intermediateDuration: duration.default("8760h"),
    }),
  ])
  .transform((value) => ({ ...value, trusted: [...new Set(value.trusted ?? [value.active])] }))
  .refine((value) => value.trusted.includes(value.active), {
    path: ["trusted"],
    message: "must include the active generation: otherwise nobody would trust its leaves",
  })
  .prefault({ kind: "cluster" });

const pki = z
  .strictObject({
    /**
     * Where each plane's root comes from, and its generations: `{ kind: cluster }` or `{ kind: stateHeld, active, … }`, with
     * `trusted` while two of them overlap. Default `cluster`. A generation keeps its kind, algorithm, rootDuration and trust
     * domain; changing them takes a new generation: docs/rotation.md.
     */
    root,
    /** Key algorithm of roots and leaves. Default `ECDSA-P256`. */
    algorithm: z.enum(keyAlgorithms).default("ECDSA-P256"),
    /** Lifetime of leaves; they are renewed after two thirds of it. Default `24h`. */
    leafDuration: duration.default("24h"),
    /** Lifetime of roots. Default ten years. */
    rootDuration: duration.default("87600h"),
  })
  .refine((value) => hours(value.rootDuration) >= 2 * hours(value.leafDuration), {
    path: ["rootDuration"],
    message: "must be at least twice leafDuration: a leaf may not outlive its root",
  })
  .refine(
    ({ root, leafDuration, rootDuration }) =>
      root.kind === "cluster" ||
      (hours(root.intermediateDuration) >= 2 * hours(leafDuration) &&
        hours(root.intermediateDuration) <= hours(rootDuration)),
    {
      path: ["root", "intermediateDuration"],
      message: "must be at least twice leafDuration and at most rootDuration: nothing may outlive its issuer",
    },
  )
  .prefault({});

const etcd = z
  .strictObject({
    /** Members: 1, 3 or 5. Scale a running etcd with `tools/etcd` first: docs/etcd.md. Default 1. */
    replicas: z.literal([1, 3, 5], { error: "must be 1, 3 or 5: an even number adds no tolerance" }).default(1),
    /**
     * Volume of each member, at least `512Mi`: etcd's log alone may take 384 MiB of it. docs/etcd.md has the steps to
     * expand those of a running etcd. Default `1Gi`.
     */
    storage: quantity
      .refine((value) => mebibytes(value) >= 512, 'must be at least "512Mi": etcd\'s log alone may take 384 MiB of it')
      .default("1Gi"),
    /** Storage class; the cluster's default when absent. */
    storageClass: kubernetesName.optional(),
    /**
     * Keep the volumes when the StatefulSet is deleted; a namespace owned by the stack takes them with it. Kept volumes
     * must be deleted before the next `up`. Default: they stay as long as the namespace.
     */
    keepData: z.boolean().optional(),
    /** Names of APISIX's users: it signs in as the first. Default `["1"]`. */
    users: keyList,
    /** Default: the upstream project's image. */
    image: image.default("gcr.io/etcd-development/etcd:v3.6.15"),
  })
  .prefault({});

const apisix = z
  .strictObject({
    /** Gateway pods. Default 1. */
    replicas: z.int().min(1).default(1),
    /** Names of the keyring's keys: the first seals private keys in etcd, and all of them open. Default `["1"]`. */
    keyring: keyList,
    /** Names of the Admin API's keys: the first is used, and all are accepted. Default `["1"]`. */
    adminKeys: keyList,
    /**
     * Client certificates of the admin plane to issue, by service-account name: with one of the keys, these clients may call the
     * Admin API besides the stack and its renewer. Default none.
     */
    adminClients: clientNames(
      kubernetesName.refine(
        (name) => name !== "deployer" && name !== "renewer",
        "must not be the stack's own deployer or renewer",
      ),
    ),
    /** Default: Apache APISIX 3.18.0. */
    image: image.default("docker.io/apache/apisix:3.18.0-debian"),
    /** Image of the renewer beside it: Node.js 22 or newer, and a shell. Default: the official Node.js image. */
    renewerImage: image.default("docker.io/library/node:24.21.0-slim"),
  })
  .prefault({});

/** `namespace/name`. */
const inNamespace = (message: string) =>
  z
    .string()
    .regex(new RegExp(`^${dnsLabel}/${dnsLabel}(\\.${dnsLabel})*$`), message)
    .transform((text) => text.split("/") as [string, string]);

const client = inNamespace('must be a client such as "web/cart": its namespace and its service account').transform(
  ([namespace, serviceAccount]): Client => ({ namespace, serviceAccount }),
);

/** Of an object whose name may have dots, such as a Secret or an issuer. */
const objectName = dotted("must be a Kubernetes name: lower-case letters, digits, hyphens and dots");

const foreignCertificate = z
  .strictObject({
    /** cert-manager's issuer that signs it: ACME, Vault, a cloud's authority. One without `kind` is an `Issuer` in `namespace`. */
    issuerRef: z
      .strictObject({
        name: objectName,
        kind: z
          .string()
          .regex(/^[A-Z]\w*$/, 'must be a kind, such as "ClusterIssuer"')
          .default("Issuer"),
        group: dnsName.default("cert-manager.io"),
      })
      .optional(),
    /** A Secret in the platform's namespace that holds it with its key; you renew it, and the gateway serves what it holds. */
    secretName: objectName.optional(),
    /** Roots that it chains to, in PEM, for clients. Default: a public authority's, which clients trust anyway. */
    roots: z.string().refine(isBundle, "must be one or more root certificates in PEM").optional(),
  })
  .refine(
    ({ issuerRef, secretName }) => (issuerRef === undefined) !== (secretName === undefined),
    "must name either issuerRef or secretName",
  );

const plainHosts = z.array(hostName("must be a host name, as clients ask for it")).default([]);
const plainHttp = z
  .strictObject({
    /** Hosts whose routes answer without TLS, where clients show no certificate: every client is answered. Default none. */
    serve: plainHosts,
    /** Hosts whose clients are sent to `https` (308). Default none. */
    redirect: plainHosts,
  })
  .refine(({ serve, redirect }) => !serve.some((host) => redirect.includes(host)), {
    error: "must have each host in one of its lists",
  })
  .default({ serve: [], redirect: [] });

const hostOfOthers = inNamespace(
  'must be a host such as "shop/shop.example.com": whose namespace, and its name',
).transform(([namespace, host]): OwnedHost => ({ namespace, host }));

const gateway = z
  .strictObject({
    /** Host of the gateway: its certificate's name, and the SNI and Host that clients must send. Default `upstream`. */
    host: hostName("must be a host name: clients send no server name for an IP address").default("upstream"),
    /**
     * Where the certificate of `host` comes from, if not from the edge plane: `{ issuerRef }` or `{ secretName }`. Clients still
     * present leaves of the edge plane. Default: the edge plane.
     */
    certificate: foreignCertificate.optional(),
    /** Client certificates of the edge plane to issue, by service-account name: these clients may call. Default none. */
    clients: clientNames(kubernetesName),
    /**
     * Who may call `host` besides `clients`: leaves of the edge plane in other namespaces, as `namespace/service-account`, or
     * `every client` with such a leaf. Default: nobody else; a stack from before there was this key admits every client until it is set.
     */
    allow: z
      .union([z.literal("every client"), z.array(client)], {
        error: 'must be a list of clients such as "web/cart", or "every client"',
      })
      .optional(),
    /**
     * Hosts that other namespaces serve at the gateway, as `namespace/host`: nobody else gets a leaf of the edge plane for them,
     * nor for any that is not listed. Default none.
     */
    hosts: z.array(hostOfOthers).default([]),
    /** Type of the gateway's Service. Default `ClusterIP`. */
    serviceType: z.enum(["ClusterIP", "LoadBalancer"]).default("ClusterIP"),
    /** Annotations of that Service, such as those that make a load balancer internal. Default none. */
    serviceAnnotations: z.record(z.string(), z.string()).default({}),
    /**
     * A listener without TLS, port 80 of that Service, for these hosts alone; it refuses all others. Default: none, plain HTTP is closed.
     */
    plainHttp,
  })
  .refine(({ host, plainHttp }) => !plainHttp.serve.includes(host), {
    path: ["plainHttp", "serve"],
    error: "must not name gateway.host, whose clients show certificates: it can be in redirect",
  })
  .refine(({ host, hosts }) => hosts.every((other) => other.host !== host), {
    path: ["hosts"],
    error: "must not name gateway.host: its leaf is the platform's own",
  })
  .prefault({});

const upstream = z
  .strictObject({
    /** Default: the official nginx image. */
    image: image.default("docker.io/library/nginx:1.28.0"),
    /** What nginx serves, by file name; `index.json` answers `/`. */
    files: z
      .record(z.string().regex(/^[\w.-]+$/, "must be a plain file name, without folders"), z.string())
      .refine((files) => "index.json" in files, 'must have "index.json", which answers /')
      .default({ "index.json": '{ "hello": "world" }' }),
  })
  .prefault({});

const monitoring = z
  .strictObject({
    /** Alerts, a scrape rule and a dashboard; needs the Prometheus operator's CRDs in the cluster. Default `false`. */
    install: z.boolean().default(false),
    /** Namespace of Prometheus, whose pods alone may reach the metrics. Default `monitoring`. */
    namespace: kubernetesName.default("monitoring"),
    /** Labels that your Prometheus and Grafana select by, such as `release: prometheus`. Default none. */
    labels: z.record(z.string(), z.string()).default({}),
  })
  .prefault({});

/** The keys, their types, limits and defaults. */
export const platformSchema = z
  .strictObject({
    trustDomain: dnsName.max(
      subjectLimit,
      `must have at most ${subjectLimit} characters: it is the organization in every certificate's subject`,
    ),
    namespace: kubernetesName.default("mtls"),
    /** Create the namespace; `false` uses an existing one, and releases one that the stack created. Default `true`. */
    createNamespace: z.preprocess(booleanOf, z.boolean()).default(true),
    /**
     * How long pods may take to become ready, image pulls included, and a load balancer then to assign an address,
     * before an update fails. Default `5m`.
     */
    readyTimeout: z
      .string()
      .regex(/^[1-9]\d*[sm]$/, 'must be a number of seconds or minutes, such as "5m"')
      .default("5m"),
    certManager,
    pki,
    etcd,
    apisix,
    gateway,
    upstream,
    monitoring,
  })
  .refine((value) => value.namespace !== value.certManager.namespace, {
    path: ["namespace"],
    message: "must differ from cert-manager's: whoever may read Secrets there would hold every plane's keys",
  })
  .refine(({ namespace, gateway }) => gateway.hosts.every((other) => other.namespace !== namespace), {
    path: ["gateway", "hosts"],
    message:
      "must not name the platform's own namespace: each Site of the stack has its leaf there without being listed",
  })
  .refine((value) => !(value.createNamespace && value.etcd.keepData), {
    path: ["etcd", "keepData"],
    message:
      "cannot be true while the stack owns its namespace: pulumi destroy deletes the namespace " +
      "with the volumes in it. Unset it, or set createNamespace: false (docs/roles.md)",
  });

/** The whole configuration of one environment, every default filled in. */
export type PlatformConfig = z.output<typeof platformSchema>;

/**
 * Validates raw configuration values, by key without the project's prefix.
 * @param secrets keys whose values hold a secret
 * @throws RunError with one line for each wrong key: where it is, what is wrong, what is accepted.
 */
export function parseConfig(
  values: Record<string, unknown>,
  stack: string,
  secrets: readonly string[] = [],
): PlatformConfig {
  const parsed = platformSchema.safeParse(values, { reportInput: true });
  if (parsed.success && secrets.length === 0) return deepFreeze(parsed.data);
  const wrong = [...secrets.map((key) => `${key}: ${secret}`), ...(parsed.error?.issues.flatMap(describe) ?? [])];
  const lines = wrong.map((line) => `  ${line}`);
  throw new pulumi.RunError(
    `The configuration in Pulumi.${stack}.yaml is invalid:\n${lines.join("\n")}\nNothing was changed. The keys are described in config.ts.`,
  );
}

/** The configuration of the stack that is running. */
export function readConfig(): PlatformConfig {
  const prefix = `${pulumi.getProject()}:`;
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(pulumi.runtime.allConfig())) {
    if (key.startsWith(prefix)) values[key.slice(prefix.length)] = decode(value);
  }
  const secrets = secretKeys().filter((key) => key.startsWith(prefix));
  return parseConfig(
    values,
    pulumi.getStack(),
    secrets.map((key) => key.slice(prefix.length)),
  );
}

/** Keys with a secret anywhere in their value, as the engine passes them to every program; the SDK can only be asked about one key at a time. */
function secretKeys(): readonly string[] {
  return JSON.parse(process.env.PULUMI_CONFIG_SECRET_KEYS ?? "[]") as readonly string[];
}

/** All of this configuration ends up in plain sight: in state, in ConfigMaps, in names. */
const secret =
  "holds a secret, but the state and the cluster would show it in the clear; set it again without --secret, and keep secrets elsewhere";

function isBundle(pem: string): boolean {
  try {
    return certificatesOf(pem).every(({ ca }) => ca);
  } catch {
    return false;
  }
}

/** The engine passes a top-level boolean as a string. */
function booleanOf(value: unknown): unknown {
  return value === "true" ? true : value === "false" ? false : value;
}

/** The engine passes objects as JSON and strings as they are. */
function decode(value: string): unknown {
  try {
    return /^[[{]/.test(value.trim()) ? JSON.parse(value) : value;
  } catch {
    return value;
  }
}

/** Says what to write where zod's own words would not. Values are not repeated: some are secret. */
function describe(issue: z.core.$ZodIssue): string[] {
  const at = (path: readonly PropertyKey[]) => path.map(String).join(".") || "(top level)";
  const here = (complaint: string) => [`${at(issue.path)}: ${complaint}`];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map(
        (key) => `${at([...issue.path, key])}: ${issue.path.length === 0 ? unknownKey(key) : unknownKeyMessage}`,
      );
    case "invalid_key":
      return issue.issues.flatMap((inner) => describe({ ...inner, path: issue.path }));
    case "invalid_type":
      if (issue.input !== undefined)
        return here(`must be ${withArticle(issue.expected)}, not ${typeName(issue.input)}${asText(issue)}`);
      return issue.path.length > 1
        ? here("is required")
        : here(`is required; set it with: pulumi config set ${at(issue.path)} VALUE`);
    case "too_small":
      return here(issue.message.startsWith("Too small") ? `must be at least ${issue.minimum}` : issue.message);
    case "invalid_value":
      return here(
        issue.message.startsWith("Invalid option") ? `must be one of ${alternatives(issue.values)}` : issue.message,
      );
    case "invalid_union":
      return here("options" in issue ? `must be one of ${alternatives(issue.options ?? [])}` : issue.message);
    default:
      return here(issue.message);
  }
}

const unknownKeyMessage = "is not a known key; remove it or correct its spelling";

/** Without --path, the CLI takes a path into one of the objects for a key of its own. */
function unknownKey(key: string): string {
  const [first = ""] = key.split(/[.[]/);
  if (first === key || !(first in platformSchema.shape)) return unknownKeyMessage;
  return (
    `is a path, but was set as a key; remove it (pulumi config rm '${key}') and set it with: pulumi config set --path '${key}' VALUE. ` +
    `With pulumi up -c, add --config-path`
  );
}

/** The CLI stores a name of digits as a number. */
function asText({ expected, input }: z.core.$ZodIssueInvalidType): string {
  const scalar = typeof input === "number" || typeof input === "boolean";
  return expected === "string" && scalar ? "; put it in quotes, or add --type string to pulumi config set" : "";
}

function alternatives(values: readonly unknown[]): string {
  return values.map((value) => JSON.stringify(value)).join(", ");
}

function withArticle(noun: string): string {
  return noun === "int" ? "a whole number" : `${/^[aeiou]/.test(noun) ? "an" : "a"} ${noun}`;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "number") return Number.isInteger(value) ? "a whole number" : "a fraction";
  return withArticle(Array.isArray(value) ? "array" : typeof value);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
