// The stack's outputs as they should be, spelled out: for the program under mocks, for a running platform, and as an example.

import { digestOf } from "../../cluster-access/certificates.ts";
import type { PlatformOutputs } from "../../outputs.ts";
import { type Plane, planes } from "../../vocabulary/planes.ts";

interface Environment {
  readonly trustDomain: string;
  /** Host of the gateway. */
  readonly host: string;
  /** UID of the cluster. */
  readonly cluster: string;
  readonly roots: PlatformOutputs["roots"];
  /** The only generation of roots; outputs of 0.1 say nothing of generations. */
  readonly generation?: string;
  /** etcd members. Default: 1. */
  readonly members?: number;
  /** Service accounts of the clients that may call. Default: every client may. */
  readonly clients?: readonly string[];
  /** The client certificate exists only while upstreams from release 0.1 name it. */
  readonly ids: { readonly route: string; readonly clientCertificate?: string };
}

const leafRef = <P extends Plane>(plane: P, name: string) => ({ plane, namespace: "mtls", name });
const trustRef = <P extends Plane>(plane: P) => ({ plane, namespace: "mtls", name: `${plane}-trust`, key: "ca.crt" });

/** All of an environment's outputs, in the default namespace. */
export function platformOutputs(environment: Environment): PlatformOutputs {
  const { trustDomain, host, cluster, roots, generation, members = 1, clients, ids } = environment;
  const identity = { trustDomain, namespace: "mtls", serviceAccount: "apisix" };
  const hosts = Array.from({ length: 5 }, (_, index) => `etcd-${index}.etcd-peers.mtls.svc`);
  const memberHosts = hosts.slice(0, members);
  const storeNames = ["etcd", "etcd.mtls", "etcd.mtls.svc", ...hosts, "localhost"];
  const pods = (name: string) => ({ namespace: "mtls", selector: `app.kubernetes.io/name=${name}` });
  const etcd = {
    cluster,
    ...pods("etcd"),
    port: 2379,
    serverName: "etcd.mtls.svc",
    trust: trustRef("etcd"),
  };
  return {
    contract: ids.clientCertificate === undefined ? 2 : 1,
    trustDomain,
    namespace: "mtls",
    ownsNamespace: true,
    caller: {
      ...(ids.clientCertificate === undefined ? {} : { clientCertificate: ids.clientCertificate }),
      identity,
      identities: [identity],
      ...{ forwards: "X-Forwarded-Client-Cert", forwardsCertificate: "Client-Cert" },
    },
    ...(clients && {
      clients: {
        allowed: clients.map((serviceAccount) => ({ namespace: "mtls", serviceAccount })),
        certificates: clients.map((client) => leafRef("edge", `client-${client}`)),
      },
    }),
    adminClients: ["deployer", "renewer"].map((serviceAccount) => ({ namespace: "mtls", serviceAccount })),
    hosts: [],
    gateway: {
      url: `https://${host}/`,
      ...pods("apisix"),
      port: 9443,
      serverName: host,
      service: { namespace: "mtls", name: "apisix", port: 443 },
      trust: trustRef("edge"),
    },
    admin: {
      cluster,
      ...pods("apisix"),
      port: 9180,
      serverName: "apisix-admin.mtls.svc",
      trust: trustRef("admin"),
      certificate: leafRef("admin", "apisix-deployer"),
      key: { namespace: "mtls", name: "apisix-env", key: "ADMIN_KEY" },
      renews: true,
      presents: "ECDSA",
      keptIn: { ...etcd, certificate: leafRef("etcd", "etcd-deployer"), services: ["etcd", "etcd-peers"] },
    },
    store: {
      ...etcd,
      certificate: leafRef("etcd", "etcd-client"),
      endpoints: (members === 1 ? ["etcd.mtls.svc"] : memberHosts).map((name) => `https://${name}:2379`),
      members: memberHosts.map((_, index) => `etcd-${index}`),
      peer: { ...pods("etcd"), port: 2380, serverName: "etcd-0.etcd-peers.mtls.svc" },
      user: "apisix",
      password: { namespace: "mtls", name: "etcd-apisix-password", key: "password" },
      prefix: "/apisix",
      administrator: {
        certificate: leafRef("etcd", "etcd-deployer"),
        password: { namespace: "mtls", name: "etcd-root-password", key: "password" },
      },
    },
    upstream: {
      node: { host: "upstream.mtls.svc", port: 443 },
      serverName: "upstream.mtls.svc",
      trust: trustRef("upstream"),
      clientCertificate: leafRef("upstream", "apisix-upstream"),
      pods: { ...pods("upstream"), port: 8443, serverName: "upstream.mtls.svc" },
    },
    issuers: byPlane((plane) => {
      const shared = plane === "edge" || plane === "upstream";
      return {
        ...{ plane, kind: shared ? "ClusterIssuer" : "Issuer" },
        ...{ name: shared ? `mtls-${plane}` : plane, group: "cert-manager.io" },
      };
    }) as PlatformOutputs["issuers"],
    trust: byPlane(trustRef) as PlatformOutputs["trust"],
    roots,
    ...(generation === undefined
      ? {}
      : {
          generations: {
            active: generation,
            trusted: [generation],
            founder: generation,
            digests: byPlane((plane) => ({ [generation]: [digestOf(roots[plane])] })),
          },
        }),
    serverCertificates: {
      etcd: { ...leafRef("etcd", "etcd-server"), dnsNames: storeNames },
      "etcd-peer": { ...leafRef("etcd-peer", "etcd-peer"), dnsNames: hosts },
      admin: { ...leafRef("admin", "apisix-admin"), dnsNames: ["apisix-admin.mtls.svc"] },
      edge: { ...leafRef("edge", "gateway"), dnsNames: [host] },
      upstream: { ...leafRef("upstream", "upstream-server"), dnsNames: ["upstream", "upstream.mtls.svc"] },
    },
    routes: [{ id: ids.route, hosts: [host], uris: ["/*"] }],
  };
}

/** The outputs of some platform. */
export const outputs = platformOutputs({
  trustDomain: "dev",
  host: "upstream",
  cluster: "uid",
  roots: byPlane(() => "PEM"),
  ids: { route: "hello" },
});

/** One value per plane. */
export function byPlane<T>(of: (plane: Plane) => T): Record<Plane, T> {
  return Object.fromEntries(planes.map((plane) => [plane, of(plane)])) as Record<Plane, T>;
}
