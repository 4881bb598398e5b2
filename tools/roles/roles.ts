// What the platform's users may do on the cluster: a deployer runs `pulumi up` and the checks, a previewer `pulumi preview`.
//
// The rules allow what the Kubernetes provider, the dynamic resources and the checks ask of the API server, and no more; reasons
// and remaining risks are in docs/roles.md. `node tools/roles/roles.ts` prints the roles as YAML.

import { parseArgs } from "node:util";

import { type Plane, planes, sharedPlanes } from "@mtls-everywhere/vocabulary/planes";
import { stringify } from "yaml";
import { z } from "zod";

import { issuerPlace } from "../../components/issuerPlace.ts";

export const rootKinds = z.enum(["cluster", "stateHeld", "both"]);

/** Who gets the rights, as Kubernetes names them. */
export interface Subject {
  readonly kind: "User" | "Group" | "ServiceAccount";
  readonly name: string;
  /** For a ServiceAccount. */
  readonly namespace?: string | undefined;
}

export interface RolesArgs {
  /** The platform's namespace. */
  readonly namespace: string;
  /** Where ClusterIssuers keep their Secrets. */
  readonly certManagerNamespace: string;
  /** Where roots come from; `stateHeld` requires seeing all Secrets in cert-manager's namespace. `both` is for changing between them. */
  readonly roots: z.infer<typeof rootKinds>;
  /** Names of the generations of roots that the stack has or will have, the one that it began with first. */
  readonly generations: readonly string[];
  /** Names of the stack's site leaves; the first site's is `gateway`. */
  readonly sites: readonly string[];
  /** Namespaces of services behind the gateway: before roots are retired, their pods are asked what they serve. */
  readonly upstreams: readonly string[];
  readonly deployers: readonly Subject[];
  readonly previewers: readonly Subject[];
}

/** One rule, as Kubernetes spells it. */
export interface Rule {
  readonly apiGroups: string[];
  readonly resources: string[];
  readonly resourceNames?: string[];
  readonly verbs: string[];
}

/** A role and its binding, in one namespace or cluster-wide. */
export interface Grant {
  readonly name: string;
  readonly namespace?: string;
  readonly rules: readonly Rule[];
  readonly subjects: readonly Subject[];
}

/** Secrets in the platform's namespace that dynamic resources read, even at preview, besides those of the site leaves. */
export const secretsReadAtPreview = [
  "apisix-deployer",
  "apisix-env",
  "apisix-upstream",
  "etcd-apisix-password",
  "etcd-deployer",
  "etcd-root-password",
] as const;

/** The grants for both users. */
export function platformGrants(args: RolesArgs): readonly Grant[] {
  const { namespace, certManagerNamespace } = args;
  const deployer = { name: `${namespace}-platform-deployer`, subjects: args.deployers };
  const previewer = { name: `${namespace}-platform-previewer`, subjects: args.previewers };
  return [
    { ...deployer, rules: deployerOnCluster(args) },
    { ...deployer, namespace, rules: deployerInPlatform(args) },
    // A platform in cert-manager's namespace gets both roles there, so their names must differ.
    { ...deployer, name: `${deployer.name}-issuers`, namespace: certManagerNamespace, rules: deployerAtIssuers(args) },
    ...args.upstreams.flatMap((upstream) =>
      [deployer, previewer].map((who) => ({
        ...{ ...who, name: `${who.name}-upstreams`, namespace: upstream },
        rules: portForwards(),
      })),
    ),
    { ...previewer, rules: previewerOnCluster(args) },
    { ...previewer, namespace, rules: previewerInPlatform(args) },
    {
      ...previewer,
      name: `${previewer.name}-issuers`,
      namespace: certManagerNamespace,
      rules: previewerAtIssuers(args),
    },
    // A NetworkPolicy names the API server's addresses.
    ...[deployer, previewer].map((user) => ({
      ...user,
      name: `${user.name}-api-server`,
      namespace: "default",
      rules: [rule("discovery.k8s.io", ["endpointslices"], ["get"], ["kubernetes"])],
    })),
  ].filter(({ rules, subjects }) => rules.length > 0 && subjects.length > 0);
}

const core = "";
const certificates = "cert-manager.io";
/** The provider lists and watches the whole kind of what it waits for: without these it waits forever. */
const follow = ["list", "watch"];
/** Server-side apply is a patch. */
const write = ["create", "patch", "delete"];

function rule(group: string, resources: string[], verbs: readonly string[], resourceNames?: string[]): Rule {
  return { apiGroups: [group], resources, ...(resourceNames ? { resourceNames } : {}), verbs: [...verbs] };
}

/** What the stack creates in the platform's namespace, by API group. */
const made: readonly (readonly [group: string, resources: string[]])[] = [
  [core, ["configmaps", "secrets", "serviceaccounts", "services"]],
  ["apps", ["deployments", "statefulsets"]],
  ["networking.k8s.io", ["networkpolicies"]],
  ["policy", ["poddisruptionbudgets"]],
  [certificates, ["certificates", "issuers"]],
  // For monitoring, where it is enabled.
  ["monitoring.coreos.com", ["podmonitors", "prometheusrules"]],
];

const rbac = "rbac.authorization.k8s.io";

/** Names of the gateway renewer's roles and bindings. The API server lets nobody grant rights that they do not hold. */
const renewerGrants = ({ sites }: RolesArgs) => ["apisix-upstream", ...sites].map((leaf) => `${leaf}-renewer`);

const deployerInPlatform = (args: RolesArgs): readonly Rule[] => [
  ...made.map(([group, resources]) => rule(group, resources, ["get", ...follow, ...write])),
  // To tell why something is not ready yet.
  rule(core, ["endpoints", "events", "persistentvolumeclaims", "pods"], ["get", ...follow]),
  rule("apps", ["replicasets"], ["get", ...follow]),
  ...portForwards(),
  rule(rbac, ["roles", "rolebindings"], ["create", ...follow]),
  rule(rbac, ["roles", "rolebindings"], ["get", "patch", "delete"], renewerGrants(args)),
  // The checks request certificates that live for seconds.
  rule(certificates, ["certificaterequests"], ["get", "list", "create", "delete"]),
  // tools/etcd replaces members, and removes them.
  rule(core, ["persistentvolumeclaims", "pods"], ["delete"]),
  // tools/rotate has leaves reissued.
  rule(certificates, ["certificates/status"], ["update"]),
];

function deployerOnCluster(args: RolesArgs): Rule[] {
  const { issuers } = sharedNames(args);
  return [
    knownNamespaces(args),
    rule(certificates, ["clusterissuers"], ["create", ...follow]),
    rule(certificates, ["clusterissuers"], ["get", "patch", "delete"], issuers),
    ...rotation,
  ];
}

/** The shared planes' roots, which live in cert-manager's namespace. `create` cannot be limited by name. */
function deployerAtIssuers(args: RolesArgs): Rule[] {
  const { roots, intermediates } = sharedNames(args);
  const ofCluster = [
    rule(certificates, ["certificates"], ["create", ...follow]),
    rule(certificates, ["certificates"], ["get", "patch", "delete"], roots),
    // A generation's key is deleted with it, whatever cert-manager leaves behind.
    rule(core, ["secrets"], ["get", "delete"], roots),
  ];
  const held = [
    rule(core, ["secrets"], ["create", ...follow]),
    rule(core, ["secrets"], ["get", "patch", "delete"], intermediates),
  ];
  return [
    ...(args.roots === "stateHeld" ? [] : ofCluster),
    ...(args.roots === "cluster" ? [] : held),
    rule(core, ["events"], ["get", ...follow]),
  ];
}

function previewerOnCluster(args: RolesArgs): Rule[] {
  return [
    knownNamespaces(args),
    rule(certificates, ["clusterissuers"], ["get"], sharedNames(args).issuers),
    ...rotation,
  ];
}

function previewerInPlatform(args: RolesArgs): Rule[] {
  const secrets = [...secretsReadAtPreview, ...args.sites, ...(args.roots === "stateHeld" ? [] : ownRoots(args))];
  const readable = made.map(([group, resources]) =>
    rule(
      group,
      resources.filter((resource) => resource !== "secrets"),
      ["get"],
    ),
  );
  return [
    ...readable,
    rule(core, ["secrets"], ["get"], secrets.sort()),
    rule(rbac, ["roles", "rolebindings"], ["get"], renewerGrants(args)),
    // What a destroyed platform's etcd has left.
    rule(core, ["persistentvolumeclaims"], ["list"]),
    // `preview --refresh` asks whether workloads are ready, and where nobody answers whether there are any.
    rule("apps", ["deployments", "replicasets", "statefulsets"], ["list"]),
    rule(core, ["pods"], ["list"]),
    ...portForwards(),
  ];
}

function previewerAtIssuers(args: RolesArgs): Rule[] {
  if (args.roots === "stateHeld") return [];
  const { roots } = sharedNames(args);
  return [rule(certificates, ["certificates"], ["get"], roots), rule(core, ["secrets"], ["get"], roots)];
}

/** Those whom a rotation of roots would cut off may be in any namespace, and RBAC cannot select by label. */
const rotation: readonly Rule[] = [
  rule(core, ["configmaps", "pods"], ["list"]),
  rule(certificates, ["certificates", "certificaterequests"], ["list"]),
];

/** The Admin API and etcd are reached by port-forward. Up to Kubernetes 1.34 a WebSocket needs `get`; from 1.35 on, `create` too. */
function portForwards(): Rule[] {
  return [rule(core, ["pods/portforward"], ["get", "create"])];
}

/** `kube-system`, whose UID identifies the cluster, and the platform's own. */
function knownNamespaces({ namespace }: RolesArgs): Rule {
  return rule(core, ["namespaces"], ["get"], ["kube-system", namespace]);
}

/** Names of the cluster-wide planes' objects. */
function sharedNames(args: RolesArgs) {
  const prefixes = prefixesOf(args, sharedPlanes);
  return {
    issuers: prefixes.flatMap((prefix) => [prefix, `${prefix}-self-signed`]),
    roots: prefixes.map((prefix) => `${prefix}-root`),
    intermediates: prefixes.map((prefix) => `${prefix}-intermediate`),
  };
}

/** The Secrets of the other planes' roots, which hold CA keys. */
function ownRoots(args: RolesArgs): string[] {
  return prefixesOf(
    args,
    planes.filter((plane) => !sharedPlanes.includes(plane)),
  ).map((prefix) => `${prefix}-root`);
}

/** The name prefixes of each generation's objects. */
function prefixesOf({ namespace, certManagerNamespace, generations }: RolesArgs, of: readonly Plane[]): string[] {
  return generations.flatMap((name, index) =>
    of.map((plane) => {
      const args = { plane, namespace, clusterResourceNamespace: certManagerNamespace };
      return issuerPlace(args, { name, founder: index === 0 }).prefix;
    }),
  );
}

/** A grant as the two Kubernetes objects that express it. */
export function objectsOf({ name, namespace, rules, subjects }: Grant) {
  const kind = namespace === undefined ? "ClusterRole" : "Role";
  const metadata = { name, ...(namespace === undefined ? {} : { namespace }) };
  const role = { apiVersion: `${rbac}/v1`, kind, metadata, rules: [...rules] };
  const binding = {
    apiVersion: `${rbac}/v1`,
    kind: `${kind}Binding`,
    metadata,
    roleRef: { apiGroup: rbac, kind, name },
    subjects: subjects.map(({ kind, name, namespace }) =>
      kind === "ServiceAccount" ? { kind, name, namespace } : { kind, name, apiGroup: rbac },
    ),
  };
  return { role, binding };
}

const usage = `Usage: node tools/roles/roles.ts [--namespace NAME] [--cert-manager-namespace NAME]
                                   [--roots cluster|stateHeld|both] [--generations NAME,...] [--sites NAME,...]
                                   [--upstreams NAMESPACE,...] [--deployers GROUP] [--previewers GROUP]

Prints the roles and bindings for one platform as YAML, to be piped into: kubectl apply -f -
The namespaces must exist. Generations: those of pki.root.trusted, the one that the stack began with first, and the next.
Sites: names of the stack's site leaves. Upstreams: namespaces of services behind the gateway.
Defaults: mtls, cert-manager, cluster, 1, gateway, none, groups mtls-platform-deployers and mtls-platform-previewers.
`;

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      namespace: { type: "string", default: "mtls" },
      "cert-manager-namespace": { type: "string", default: "cert-manager" },
      roots: { type: "string", default: "cluster" },
      generations: { type: "string", default: "1" },
      sites: { type: "string", default: "gateway" },
      upstreams: { type: "string", default: "" },
      deployers: { type: "string", default: "mtls-platform-deployers" },
      previewers: { type: "string", default: "mtls-platform-previewers" },
    },
  });
  const roots = rootKinds.safeParse(values.roots);
  if (values.help || !roots.success) {
    process[values.help ? "stdout" : "stderr"].write(usage);
    process.exit(values.help ? 0 : 2);
  }
  const grants = platformGrants({
    namespace: values.namespace,
    certManagerNamespace: values["cert-manager-namespace"],
    roots: roots.data,
    generations: values.generations.split(","),
    sites: values.sites.split(","),
    upstreams: values.upstreams.split(",").filter((name) => name !== ""),
    deployers: [{ kind: "Group", name: values.deployers }],
    previewers: [{ kind: "Group", name: values.previewers }],
  });
  const documents = grants.flatMap((grant) => Object.values(objectsOf(grant))).map((object) => stringify(object));
  process.stdout.write(documents.join("---\n"));
}
