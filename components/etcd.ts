// etcd, APISIX's store: mutual TLS for clients and peers, and a user for each client that is limited to its prefix.

import type { KeepingEtcd, StoreEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type { CertSecretRef } from "@mtls-everywhere/vocabulary/planes";
import { etcdPorts } from "@mtls-everywhere/vocabulary/ports";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";

import { Certificate } from "./certificate.ts";
import type { Authorities } from "./certificateAuthority.ts";
import { createPolicy, type Pods, podsOf } from "./edges.ts";
import { EtcdAuth } from "./etcdAuth.ts";
import {
  apisixPrefix,
  etcdEndpoints,
  etcdMembersPolicy,
  etcdNames,
  type EtcdPlanArgs,
  etcdPeerNames,
  etcdPeerService,
  etcdServerNames,
  etcdService,
  etcdStartMap,
  etcdStartName,
  etcdStatefulSet,
} from "./etcdPlan.ts";
import { firstKeys, inUse, suffixed } from "./keyNames.ts";
import { disruptionBudget, labelsOf, selectorOf, serving, startedWith, waitAtMost } from "./workload.ts";

/** How large an etcd is, and for whom. */
export interface EtcdArgs extends EtcdPlanArgs {
  /** Who signs the leaves of its client port and of its peer port. */
  readonly authorities: Pick<Authorities, "etcd" | "etcd-peer">;
  /** UID of the cluster, for the dynamic resource that sets up the users. */
  readonly cluster: string;
  /** Service account of the only client, APISIX: its leaf's SPIFFE ID and its user name. */
  readonly client: string;
  /** Names of its users, which share a role's rights: it signs in as the first. */
  readonly users: readonly string[];
  /** How long its pods may take to become ready, such as `5m`. */
  readonly readyTimeout: string;
}

/** APISIX's store: a running etcd with authentication on, and mutual TLS at both its ports. */
export class Etcd extends pulumi.ComponentResource {
  /** Its members, for the network edges of their callers. */
  readonly pods: Pods;
  /** How the client reaches it and what it presents; known once its user may sign in. */
  readonly store: pulumi.Output<StoreEndpoint>;
  /** The same for its administrators. When it is gone, so is everything that the client keeps there. */
  readonly keeping: pulumi.Output<KeepingEtcd>;
  /** The leaf that the client presents; a preview knows it before it knows `store`. */
  readonly clientCertificate: pulumi.Output<CertSecretRef<"etcd">>;
  /** The passwords of the client's users, in the order of `users`: the client's own settings carry them. */
  readonly clientPasswords: readonly pulumi.Output<string>[];
  /** The leaves of its client port and of its peer port. */
  readonly serverCertificates: { readonly [P in "etcd" | "etcd-peer"]: pulumi.Output<CertSecretRef<P>> };

  constructor(name: string, args: EtcdArgs, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:Etcd", name, {}, opts);
    const child = { parent: this };
    const { namespace } = args;
    this.pods = podsOf(name, namespace);
    const names = etcdNames(name, namespace, args.replicas);
    const dnsNames = etcdServerNames(name, namespace);
    const both = ["server auth", "client auth"] as const;

    const account = { namespace, authority: args.authorities.etcd, emptySubject: true };
    const server = new Certificate(
      `${name}-server`,
      { ...account, serviceAccount: name, usages: both, dnsNames },
      child,
    );
    const peer = new Certificate(
      `${name}-peer`,
      {
        ...account,
        authority: args.authorities["etcd-peer"],
        serviceAccount: name,
        usages: both,
        dnsNames: etcdPeerNames(name, namespace),
      },
      child,
    );
    const clientLeaf = new Certificate(
      `${name}-client`,
      { ...account, serviceAccount: args.client, usages: ["client auth"] },
      child,
    );
    const deployer = new Certificate(
      `${name}-deployer`,
      { ...account, serviceAccount: "deployer", usages: ["client auth"] },
      child,
    );

    new k8s.core.v1.ServiceAccount(
      name,
      { metadata: { name, namespace, labels: labelsOf(name) }, automountServiceAccountToken: false },
      child,
    );
    const peers = new k8s.core.v1.Service(`${name}-peers`, etcdPeerService(name, args), child);
    const service = new k8s.core.v1.Service(name, etcdService(name, args), child);
    createPolicy(etcdMembersPolicy(name, args), child);
    const start = new k8s.core.v1.ConfigMap(etcdStartName(name), etcdStartMap(name, args), child);
    if (args.replicas > 1) {
      new k8s.policy.v1.PodDisruptionBudget(name, disruptionBudget(name, namespace), child);
    }
    const { etcd: clientPlane, "etcd-peer": peerPlane } = args.authorities;
    const members = new k8s.apps.v1.StatefulSet(
      name,
      etcdStatefulSet(name, args, {
        server: server.secret,
        peer: peer.secret,
        trust: clientPlane.trust,
        peerTrust: peerPlane.trust,
        annotations: {
          ...serving({ etcd: etcdPorts.client, "etcd-peer": etcdPorts.peer }),
          ...startedWith({ etcd: clientPlane.roots, "etcd-peer": peerPlane.roots }),
        },
      }),
      {
        ...{ ...child, ...waitAtMost(args.readyTimeout), dependsOn: [peers, service, start] },
        // A change would replace the StatefulSet and lose the data; `checkStore` refuses it beforehand.
        ignoreChanges: ["spec.volumeClaimTemplates"],
      },
    );

    /** One Secret for all users of an owner: a previewer's rights name it. */
    const credentials = (owner: string, users: readonly string[]) => {
      const passwords = users.map(
        (user) =>
          new random.RandomPassword(suffixed(`${name}-${owner}`, user), { length: 32, special: false }, child).result,
      );
      const entry = (user: string) => suffixed("password", user);
      const secret = new k8s.core.v1.Secret(
        `${name}-${owner}`,
        {
          // Not `etcd-root`: that Secret holds the plane's root, and its key would enter the state with this one.
          metadata: { name: `${name}-${owner}-password`, namespace },
          stringData: Object.fromEntries(passwords.map((password, index) => [entry(users[index]!), password])),
        },
        child,
      );
      const ref = (user: string) => secret.metadata.apply((m) => ({ namespace, name: m.name, key: entry(user) }));
      return { passwords, ref };
    };
    const root = credentials("root", firstKeys.users);
    const client = credentials(args.client, args.users);
    const user = inUse(args.users);

    const endpoint = (secret: typeof clientLeaf.secret) =>
      pulumi.all([secret, args.authorities.etcd.trust, members.metadata]).apply(([certificate, trust]) => ({
        cluster: args.cluster,
        namespace,
        selector: selectorOf(name),
        port: etcdPorts.client,
        serverName: names.service,
        trust,
        certificate,
      }));
    const rootPassword = root.ref(inUse(firstKeys.users));
    const auth = new EtcdAuth(
      `${name}-auth`,
      {
        etcd: endpoint(deployer.secret),
        root: rootPassword,
        users: args.users.map((user) => ({
          name: suffixed(args.client, user),
          password: client.ref(user),
          prefix: apisixPrefix,
        })),
      },
      child,
    );

    const services = [name, names.headless];
    this.keeping = endpoint(deployer.secret).apply((etcd) => ({ ...etcd, services }));
    this.clientCertificate = clientLeaf.secret;
    this.clientPasswords = client.passwords;
    this.serverCertificates = { etcd: server.secret, "etcd-peer": peer.secret };
    this.store = pulumi
      .all([endpoint(clientLeaf.secret), client.ref(user), deployer.secret, rootPassword, auth.id])
      .apply(([endpoint, password, certificate, ofRoot]): StoreEndpoint => ({
        ...endpoint,
        endpoints: etcdEndpoints(name, namespace, args.replicas),
        members: names.members,
        peer: { namespace, selector: selectorOf(name), port: etcdPorts.peer, serverName: names.memberHosts[0]! },
        user: suffixed(args.client, user),
        password,
        prefix: apisixPrefix,
        administrator: { certificate, password: ofRoot },
      }));
    this.registerOutputs({ store: this.store });
  }
}
