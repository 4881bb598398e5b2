// Apache APISIX: the gateway, and its Admin API on the pod's loopback, which accepts only mutual TLS.

import { createHash } from "node:crypto";

import { sealOf } from "@mtls-everywhere/apisix-admin";
import type { ApiServer } from "@mtls-everywhere/cluster-access/cluster";
import { type Client, identitiesOf, type Identity } from "@mtls-everywhere/vocabulary/identities";
import type { CertSecretRef } from "@mtls-everywhere/vocabulary/planes";
import { apisixPorts, etcdPorts } from "@mtls-everywhere/vocabulary/ports";
import { keyFamilyOf } from "@mtls-everywhere/vocabulary/algorithms";
import type { AdminEndpoint, GatewayEndpoint, StoreEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";

import { apisixConfigYaml, apisixVariables, clientCertificate } from "./apisixConfig.ts";
import { apisixDeployment, type ApisixPlanArgs, apisixService, gatewayPolicy } from "./apisixPlan.ts";
import { Certificate } from "./certificate.ts";
import type { Authorities } from "./certificateAuthority.ts";
import { allow, createPolicy, formerly, type Pods, podsOf } from "./edges.ts";
import type { Etcd } from "./etcd.ts";
import { type OwnCertificate, ownRoots } from "./ownCertificate.ts";
import { inUse, type KeyNames, suffixed } from "./keyNames.ts";
import type { MetricsPort } from "./monitoringPlan.ts";
import { renewerFiles, renewerMetrics, renewerPolicy } from "./renewer.ts";
import { trustRef } from "./trustBundle.ts";
import {
  disruptionBudget,
  labelsOf,
  rolledBy,
  selectorOf,
  serving,
  settingsDigest,
  startedWith,
  waitAtMost,
} from "./workload.ts";

/** How APISIX runs, and whom it talks to. */
export interface ApisixArgs extends ApisixPlanArgs {
  /** Who signs its leaves, and whom it trusts on each of its hops. */
  readonly authorities: Pick<Authorities, "etcd" | "admin" | "edge" | "upstream">;
  /** UID of the cluster, for the dynamic resources that use the Admin API. */
  readonly cluster: string;
  /** The etcd that it keeps its objects in. Its user must exist: APISIX crash-loops until then. */
  readonly store: Store;
  /** Where the API server really listens: its renewer watches Secrets there. */
  readonly apiServer: ApiServer;
  /** Host that clients ask the gateway for. */
  readonly host: string;
  /** Service accounts besides the stack's own to which it issues leaves of the admin plane: they may call the Admin API. */
  readonly adminClients: readonly string[];
  /**
   * Where the host's certificate comes from.
   * @default the edge plane
   */
  readonly certificate?: OwnCertificate | undefined;
  /** How long its pods may take to become ready, such as `5m`. */
  readonly readyTimeout: string;
}

/** What it needs of its etcd. The passwords are those of `keys.users`, in their order. */
export interface Store extends Pick<Etcd, "pods" | "keeping" | "clientCertificate" | "clientPasswords"> {
  readonly store: pulumi.Output<Pick<StoreEndpoint, "endpoints" | "prefix" | "user">>;
}

/** The Admin API of pods with these keys, by the names that the component gives to its objects. */
export function adminEndpoint(
  name: string,
  { namespace, cluster }: Pick<ApisixArgs, "namespace" | "cluster">,
  keys: KeyNames,
): AdminEndpoint {
  return {
    cluster,
    namespace,
    selector: selectorOf(name),
    port: apisixPorts.admin,
    serverName: adminNameOf(name, namespace),
    trust: trustRef("admin", namespace),
    certificate: { namespace, name: `${name}-deployer` },
    key: { namespace, name: `${name}-env`, key: apisixVariables.adminKey(inUse(keys.adminKeys)) },
  };
}

function adminNameOf(name: string, namespace: string): string {
  return `${name}-admin.${namespace}.svc`;
}

/** Apache APISIX: the gateway, and its Admin API on the pods' loopback, which accepts only mutual TLS. A renewer runs beside it. */
export class Apisix extends pulumi.ComponentResource {
  /** Its pods, for the network edges to whatever it calls. */
  readonly pods: Pods;
  /** Who APISIX is to etcd and upstreams. */
  readonly identity: Identity;
  /** The same in each trust domain that a trusted generation was created with: upstreams should answer only these callers. */
  readonly identities: readonly Identity[];
  /** Who may call the Admin API, with one of its keys. */
  readonly adminClients: readonly Client[];
  /** Hosts that it serves without TLS, to every client. */
  readonly plainHosts: readonly string[];
  /** How to reach the Admin API, once it answers. */
  readonly admin: pulumi.Output<AdminEndpoint>;
  /** How clients reach the gateway. */
  readonly gateway: pulumi.Output<GatewayEndpoint>;
  /** Where its pods export the renewer's metrics. */
  readonly metrics: MetricsPort;
  /** The leaf of its Admin API. */
  readonly adminCertificate: pulumi.Output<CertSecretRef<"admin">>;
  /** The leaf that it presents to upstreams, from its own files. */
  readonly upstreamCertificate: pulumi.Output<CertSecretRef<"upstream">>;

  constructor(name: string, args: ApisixArgs, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:Apisix", name, {}, opts);
    const child = { parent: this };
    const { namespace, authorities } = args;
    const meta = { name, namespace, labels: labelsOf(name) };
    const adminName = adminNameOf(name, namespace);
    this.pods = podsOf(name, namespace);
    this.identities = authorities.upstream.trustDomains.map((trustDomain) => ({
      ...{ trustDomain, namespace, serviceAccount: name },
    }));
    this.identity = this.identities[0]!;
    this.plainHosts = args.plainHttp?.serve ?? [];

    const account = { namespace, serviceAccount: name };
    const adminServer = new Certificate(
      `${name}-admin`,
      { ...account, authority: authorities.admin, usages: ["server auth"], dnsNames: [adminName] },
      child,
    );
    const adminClient = (leaf: string, serviceAccount: string) =>
      new Certificate(
        leaf,
        { ...account, serviceAccount, authority: authorities.admin, usages: ["client auth"] },
        child,
      );
    const deployer = adminClient(`${name}-deployer`, "deployer");
    const renewer = adminClient(`${name}-renewer`, "renewer");
    for (const client of args.adminClients) adminClient(`${name}-admin-${client}`, client);
    this.adminClients = ["deployer", "renewer", ...args.adminClients].map((serviceAccount) => ({
      ...{ namespace, serviceAccount },
    }));
    const adminCallers = identitiesOf(this.adminClients, authorities.admin.trustDomains);
    const upstreamClient = new Certificate(
      `${name}-upstream`,
      { ...account, authority: authorities.upstream, usages: ["client auth"] },
      child,
    );

    // A key of digits alone would become a number in config.yaml and match nothing.
    const password = (use: string, length: number) => {
      const letters = { length, special: false, minLower: 1, minUpper: 1 };
      return new random.RandomPassword(`${name}-${use}`, letters, child).result;
    };
    const { keys } = args;
    const adminKeys = keys.adminKeys.map((key) => password(suffixed("admin-key", key), 32));
    // AES-128 key and IV. APISIX also takes 32 characters, and does not start with any other length.
    const keyring = keys.keyring.map((key) => password(suffixed("keyring", key), 16));
    const environment = Object.fromEntries([
      ...adminKeys.map((value, index) => [apisixVariables.adminKey(keys.adminKeys[index]!), value] as const),
      ...keyring.map((value, index) => [apisixVariables.keyring(keys.keyring[index]!), value] as const),
      ...args.store.clientPasswords.map(
        (value, index) => [apisixVariables.etcdPassword(keys.users[index]!), value] as const,
      ),
    ]);
    const secret = new k8s.core.v1.Secret(
      `${name}-env`,
      { metadata: { ...meta, name: `${name}-env` }, stringData: environment },
      child,
    );
    // A digest of random text gives nothing away, and rolls the pods when it changes.
    const secretDigest = pulumi.unsecret(
      pulumi.jsonStringify(environment).apply((text) => createHash("sha256").update(text).digest("hex")),
    );

    const yaml = args.store.store.apply((store) => apisixConfigYaml(store, keys, adminCallers, args.plainHttp));
    const settings = { "config.yaml": yaml, [clientCertificate.name]: clientCertificate.text };
    const config = new k8s.core.v1.ConfigMap(
      `${name}-config`,
      { metadata: { ...meta, name: `${name}-config` }, data: settings },
      child,
    );
    const files = renewerFiles(adminName);
    const program = new k8s.core.v1.ConfigMap(
      `${name}-renewer`,
      { metadata: { ...meta, name: `${name}-renewer` }, data: files },
      child,
    );
    new k8s.core.v1.ServiceAccount(name, { metadata: meta, automountServiceAccountToken: false }, child);
    const service = new k8s.core.v1.Service(name, apisixService(name, args), child);
    if (args.replicas > 1) {
      new k8s.policy.v1.PodDisruptionBudget(name, disruptionBudget(name, namespace), child);
    }
    createPolicy(gatewayPolicy(name, args), child);
    createPolicy(renewerPolicy(name, namespace, args.apiServer), { ...child, aliases: [formerly(`${name}-renewer`)] });
    allow(this.pods, args.store.pods, etcdPorts.client, child);
    const sealedBy = pulumi.unsecret(keyring[0]!.apply((key) => sealOf(inUse(keys.keyring), key)));
    const deployment = new k8s.apps.v1.Deployment(
      name,
      apisixDeployment(name, args, {
        etcdLeaf: args.store.clientCertificate,
        adminLeaf: adminServer.secret,
        upstreamLeaf: upstreamClient.secret,
        renewerLeaf: renewer.secret,
        sealedBy,
        etcdTrust: authorities.etcd.trust,
        adminTrust: authorities.admin.trust,
        upstreamTrust: authorities.upstream.trust,
        annotations: {
          ...rolledBy(pulumi.all({ ...settings, environment: secretDigest, ...files }).apply(settingsDigest)),
          ...serving({ edge: apisixPorts.gateway, admin: apisixPorts.admin }),
          ...startedWith({
            etcd: authorities.etcd.roots,
            admin: authorities.admin.roots,
            upstream: authorities.upstream.roots,
          }),
        },
      }),
      { ...child, ...waitAtMost(args.readyTimeout), dependsOn: [secret, config, program] },
    );

    this.metrics = renewerMetrics(name);
    this.adminCertificate = adminServer.secret;
    this.upstreamCertificate = upstreamClient.secret;
    this.admin = pulumi
      .all([
        deployer.secret,
        authorities.admin.trust,
        sealedBy,
        args.store.keeping,
        secret.metadata,
        deployment.metadata,
      ])
      .apply(([certificate, trust, sealedBy, keptIn]) => ({
        ...adminEndpoint(name, args, keys),
        trust,
        certificate,
        sealedBy,
        keptIn,
        renews: true,
        presents: keyFamilyOf(authorities.upstream.algorithm),
      }));
    const roots = ownRoots(args.certificate);
    this.gateway = pulumi
      .all([authorities.edge.trust, service.metadata, deployment.metadata])
      .apply(([trust, service]) => ({
        url: `https://${args.host}/`,
        namespace,
        selector: selectorOf(name),
        port: apisixPorts.gateway,
        serverName: args.host,
        service: { namespace, name: service.name, port: 443 },
        ...(this.plainHosts.length > 0 ? { plainHosts: this.plainHosts } : {}),
        trust,
        ...(roots === undefined ? {} : { roots }),
      }));
    this.registerOutputs({ admin: this.admin, gateway: this.gateway, upstreamCertificate: this.upstreamCertificate });
  }
}
