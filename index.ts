// The platform of one environment: configuration in, components composed, outputs out. It reads like README's diagram.

import type { GatewayEndpoint, StoreEndpoint, UpstreamEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

import { adminEndpoint, Apisix } from "./components/apisix.ts";
import { Certificate } from "./components/certificate.ts";
import { byPlane, createAuthorities } from "./components/certificateAuthority.ts";
import { limitCertificates } from "./components/certificateLimits.ts";
import { CertManager, keepInstalled } from "./components/certManager.ts";
import { connectCluster } from "./components/cluster.ts";
import { withholdAnswers } from "./components/debugMessages.ts";
import { Etcd } from "./components/etcd.ts";
import { checkStore } from "./components/etcdCheck.ts";
import { callerCertificate } from "./components/gateway/callerCertificate.ts";
import { certificateHeader, forwardedHeader } from "./components/forwardedIdentity.ts";
import { ownCallers } from "./components/gateway/ownCallers.ts";
import { checkKeys } from "./components/keyCheck.ts";
import type { KeyNames } from "./components/keyNames.ts";
import { Monitoring } from "./components/monitoring.ts";
import { closedNamespace } from "./components/namespace.ts";
import { NginxUpstream } from "./components/nginxUpstream.ts";
import { ownCertificate } from "./components/ownCertificate.ts";
import { Site } from "./components/site.ts";
import { labelObjects } from "./components/stackLabel.ts";
import { readConfig } from "./config.ts";
import { refuseClashes } from "./neighbours/check.ts";
import { checkGatewayCertificate } from "./neighbours/gatewayCertificate.ts";
import { checkIssued } from "./neighbours/issuedLeaves.ts";
import { contractVersions } from "./outputs.ts";
import { awaitAddress } from "./progress/address.ts";
import { watchPulls } from "./progress/pulls.ts";
import { trustedGenerations } from "./rotation/trusted.ts";

// Before anything is planned: what is asked for goes with what is live, or it is refused.
const env = readConfig();
withholdAnswers();
labelObjects(pulumi.getStack());
const cluster = await connectCluster("cluster", (access) => refuseClashes(access, env));
const certManagerArgs = { ...env.certManager, platform: env.namespace };
await keepInstalled(cluster.access, certManagerArgs);
await checkGatewayCertificate(cluster.access, env);
await checkStore("etcd", cluster.access, { ...env.etcd, namespace: env.namespace });
const common = { namespace: env.namespace, cluster: cluster.uid, readyTimeout: env.readyTimeout };
const keys = { keyring: env.apisix.keyring, adminKeys: env.apisix.adminKeys, users: env.etcd.users };
const adminOf = (running: KeyNames) => adminEndpoint("apisix", common, running);
await checkKeys({ cluster: cluster.access, wanted: keys, admin: adminOf });
const trusted = await trustedGenerations("pki", cluster.access, adminOf, env);
await checkIssued(cluster.access, env, trusted);
const apiServer = await cluster.apiServer();

// The ground: a namespace that denies all traffic, and cert-manager to issue certificates in it.
const on = { provider: cluster.provider };
const home = closedNamespace("namespace", env, on);
const certManager = new CertManager("cert-manager", certManagerArgs, on);
const inNamespace = { ...on, dependsOn: home };

// Trust: one certificate authority per plane, so that a certificate opens one door.
const { clusterResourceNamespace } = certManager;
const authority = { ...common, generations: trusted.generations, clusterResourceNamespace };
// Nobody gets a leaf for another's identity, name or usage.
const limited = { ...authority, access: cluster.access, settings: env.certManager, hosts: env.gateway.hosts };
const limits = await limitCertificates("limits", { ...limited, certManager }, on);
const pki = createAuthorities("pki", { ...authority, ...env.pki, limits }, { ...on, dependsOn: [home, certManager] });

// The hops: etcd <- APISIX -> upstream, each in its own plane, and open only to each other.
const etcd = new Etcd("etcd", { ...common, ...env.etcd, authorities: pki, client: "apisix" }, inNamespace);
const apisix = new Apisix(
  "apisix",
  { ...common, ...env.apisix, ...env.gateway, authorities: pki, store: etcd, keys, apiServer },
  inNamespace,
);
const hello = new NginxUpstream(
  "upstream",
  { ...common, ...env.upstream, authority: pki.upstream, gateway: apisix },
  inNamespace,
);

// The edge: a certificate for each client named in the configuration.
const { host } = env.gateway;
const callers = await ownCallers(env.namespace, env.gateway);
const certificates = env.gateway.clients.map((client) => {
  const { namespace } = env;
  const args = { authority: pki.edge, namespace, serviceAccount: client, usages: ["client auth"] } as const;
  return new Certificate(`client-${client}`, args, inNamespace).secret;
});

// What the gateway does: prove who it is, ask clients who they are, forward those on the list to the upstream as APISIX.
const presented = await callerCertificate(
  "upstream-client",
  { gateway: apisix, cluster: cluster.access, own: ["upstreams/hello"] },
  inNamespace,
);
const site = new Site(
  "site",
  {
    ...{ gateway: apisix, host, ...ownCertificate(env, pki.edge) },
    allow: callers ?? "every client",
    routes: { hello: { service: hello.upstream, upstream: presented.upstream } },
  },
  inNamespace,
);

if (env.monitoring.install) {
  const { labels, namespace: prometheus } = env.monitoring;
  new Monitoring("monitoring", { namespace: env.namespace, prometheus, labels, target: apisix.metrics }, inNamespace);
}

// What the update waits for, in words.
watchPulls(cluster.access, env.namespace);
if (env.gateway.serviceType === "LoadBalancer") {
  awaitAddress({ gateway: apisix.gateway, cluster: cluster.access, within: env.readyTimeout });
}

// For other stacks and for verify: references and public data, nothing secret. outputs.ts describes each.
export const contract = presented.object ? 1 : contractVersions[0];
export const trustDomain = pki.upstream.trustDomain;
export const namespace = home.metadata.name;
export const ownsNamespace = env.createNamespace;
export const gateway: pulumi.Output<GatewayEndpoint> = apisix.gateway;
export const admin = apisix.admin;
export const store: pulumi.Output<StoreEndpoint> = etcd.store;
export const caller = {
  ...(presented.object && { clientCertificate: presented.object.id }),
  ...{ identity: apisix.identity, identities: apisix.identities },
  ...{ forwards: forwardedHeader, forwardsCertificate: certificateHeader },
};
export const adminClients = apisix.adminClients;
export const clients = { ...(callers && { allowed: callers }), certificates };
export const hosts = limits?.hosts;
export const upstream: pulumi.Output<UpstreamEndpoint> = hello.upstream;
export const issuers = byPlane(pki, "issuer");
export const trust = byPlane(pki, "trust");
export const roots = byPlane(pki, "roots");
export const generations = {
  ...{ active: env.pki.root.active, trusted: env.pki.root.trusted, founder: trusted.founder },
  digests: byPlane(pki, "digests"),
};
export const serverCertificates = {
  ...etcd.serverCertificates,
  ...{ admin: apisix.adminCertificate, upstream: hello.certificate },
  edge: site.certificate.apply((leaf) => ({ ...leaf, plane: "edge" as const })),
};
export const routes = site.routes.map(({ id, hosts, uris }) => ({ id, hosts, uris }));
