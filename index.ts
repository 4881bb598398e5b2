// The platform of one environment: configuration in, components composed, outputs out. It reads like README's diagram.

import type { GatewayEndpoint, StoreEndpoint, UpstreamEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

import { adminEndpoint, Apisix } from "./components/apisix.ts";
import { Certificate } from "./components/certificate.ts";
import { byPlane, createAuthorities } from "./components/certificateAuthority.ts";
import { CertManager } from "./components/certManager.ts";
import { connectCluster } from "./components/cluster.ts";
import { Etcd, keepMembers } from "./components/etcd.ts";
import { checkKeys } from "./components/keyCheck.ts";
import type { KeyNames } from "./components/keyNames.ts";
import { Monitoring } from "./components/monitoring.ts";
import { closedNamespace } from "./components/namespace.ts";
import { NginxUpstream } from "./components/nginxUpstream.ts";
import { RenewerGrant } from "./components/renewerGrant.ts";
import { ApisixRoute } from "./components/gateway/apisixRoute.ts";
import { ApisixSsl } from "./components/gateway/apisixSsl.ts";
import { ApisixUpstream } from "./components/gateway/apisixUpstream.ts";
import { callerCertificate } from "./components/gateway/callerCertificate.ts";
import { labelObjects } from "./components/stackLabel.ts";
import { readConfig } from "./config.ts";
import { contractVersions } from "./outputs.ts";
import { trustedGenerations } from "./rotation/trusted.ts";

const env = readConfig();
labelObjects(pulumi.getStack());
const cluster = await connectCluster("cluster");
const on = { provider: cluster.provider };
await keepMembers("etcd", env.etcd.replicas);
const common = { namespace: env.namespace, cluster: cluster.uid, readyTimeout: env.readyTimeout };
const keys = { keyring: env.apisix.keyring, adminKeys: env.apisix.adminKeys, users: env.etcd.users };
const adminOf = (running: KeyNames) => adminEndpoint("apisix", common, running);
await checkKeys({ cluster: cluster.access, wanted: keys, admin: adminOf });
const trusted = await trustedGenerations("pki", cluster.access, adminOf, env);
const apiServer = await cluster.apiServer();

// The ground: a namespace, and who issues certificates in it.
const home = closedNamespace("namespace", env, on);
const certManager = new CertManager("cert-manager", env.certManager, on);

// Trust: one certificate authority per plane, so that a certificate opens one door.
const pki = createAuthorities(
  "pki",
  {
    ...common,
    ...env.pki,
    generations: trusted.generations,
    clusterResourceNamespace: certManager.clusterResourceNamespace,
  },
  { ...on, dependsOn: [home, certManager] },
);

// The hops: etcd <- APISIX -> upstream, each with its own plane.
const inNamespace = { ...on, dependsOn: home };
const etcd = new Etcd("etcd", { ...common, ...env.etcd, authorities: pki, client: "apisix" }, inNamespace);
const apisix = new Apisix(
  "apisix",
  {
    ...common,
    ...env.apisix,
    ...env.gateway,
    authorities: pki,
    store: etcd,
    apiServer,
    keys,
  },
  inNamespace,
);
const hello = new NginxUpstream(
  "upstream",
  {
    ...common,
    ...env.upstream,
    authority: pki.upstream,
    gateway: apisix,
  },
  inNamespace,
);

// The edge: the gateway's certificate, and one for each client that is named in the configuration.
const edge = { authority: pki.edge, namespace: env.namespace };
const gatewayLeaf = new Certificate(
  "gateway",
  { ...edge, serviceAccount: "apisix", usages: ["server auth"], dnsNames: [env.gateway.host] },
  inNamespace,
);
for (const client of env.gateway.clients) {
  new Certificate(`client-${client}`, { ...edge, serviceAccount: client, usages: ["client auth"] }, inNamespace);
}

// Its renewer may read what the gateway presents, Secret by Secret.
new RenewerGrant("gateway-renewer", { secret: gatewayLeaf.secret, gateway: apisix.identity }, inNamespace);

if (env.monitoring.install) {
  const { labels, namespace: prometheus } = env.monitoring;
  new Monitoring("monitoring", { namespace: env.namespace, prometheus, labels, target: apisix.metrics }, inNamespace);
}

// What the gateway does: prove who it is, ask clients who they are, forward to the upstream as APISIX.
const admin = apisix.admin;
new ApisixSsl("site", {
  admin,
  certificate: gatewayLeaf.secret,
  snis: [env.gateway.host],
  clients: { trust: pki.edge.trust },
});
const callerLeaf = { admin, certificate: apisix.upstreamCertificate, gateway: apisix.identity };
const presented = await callerCertificate(
  "upstream-client",
  { ...callerLeaf, cluster: cluster.access, own: ["upstreams/hello"] },
  inNamespace,
);
const backend = new ApisixUpstream("hello", {
  admin,
  nodes: [hello.upstream.node],
  serverName: hello.upstream.serverName,
  ...(presented.own && { clientCertificate: presented.own }),
});
const route = new ApisixRoute("hello", { admin, hosts: [env.gateway.host], uris: ["/*"], upstream: backend.id });

// For other stacks and for verify: references and public data, nothing secret. outputs.ts describes each.
export const contract = presented.object ? 1 : contractVersions[0];
export const trustDomain = pki.upstream.trustDomain;
export const namespace = home.metadata.name;
export const gateway: pulumi.Output<GatewayEndpoint> = apisix.gateway;
export const store: pulumi.Output<StoreEndpoint> = etcd.store;
export const caller = {
  ...(presented.object && { clientCertificate: presented.object.id }),
  identity: apisix.identity,
  identities: apisix.identities,
};
export const upstream: pulumi.Output<UpstreamEndpoint> = hello.upstream;
export const issuers = byPlane(pki, "issuer");
export const trust = byPlane(pki, "trust");
export const roots = byPlane(pki, "roots");
export const generations = {
  active: env.pki.root.active,
  trusted: env.pki.root.trusted,
  founder: trusted.founder,
  digests: byPlane(pki, "digests"),
};
export const serverCertificates = {
  ...etcd.serverCertificates,
  ...{ admin: apisix.adminCertificate, edge: gatewayLeaf.secret, upstream: hello.certificate },
};
export const routes = [{ id: route.id, hosts: route.hosts, uris: route.uris }];
export { admin };
