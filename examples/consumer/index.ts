// Another team's stack: its own service behind the platform's gateway, with its own leaf, trust bundle and route.

import { nginxPort } from "@mtls-everywhere/vocabulary/ports";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { connectCluster } from "../../components/cluster.ts";
import { ApisixRoute } from "../../components/gateway/apisixRoute.ts";
import { ApisixUpstream } from "../../components/gateway/apisixUpstream.ts";
import { NginxUpstream } from "../../components/nginxUpstream.ts";
import { TrustBundle } from "../../components/trustBundle.ts";
import { matchLabelsOf, platformNamespace } from "../../components/workload.ts";
import { readPlatform } from "../../consume.ts";

const config = new pulumi.Config();
const platform = await readPlatform(config.require("platform"));
const cluster = await connectCluster("cluster");
const namespace = "shop";

const home = new k8s.core.v1.Namespace("namespace", platformNamespace(namespace), { provider: cluster.provider });
const inNamespace = { provider: cluster.provider, dependsOn: home };

// Trust: the platform's issuer signs the service's leaf, and its roots lie where the service's pods can mount them.
const trust = new TrustBundle("trust", { plane: "upstream", namespace, roots: platform.roots.upstream }, inNamespace);
const authority = {
  plane: "upstream",
  issuer: pulumi.output(platform.issuers.upstream),
  trust: trust.trust,
  roots: pulumi.output(platform.roots.upstream),
  trustDomain: platform.trustDomain,
  algorithm: "ECDSA-P256",
  leafDuration: "24h",
} as const;

// The service answers the gateway alone: by its certificate, and on the network by this policy.
const shop = new NginxUpstream(
  "shop",
  {
    authority,
    namespace,
    callers: platform.caller.identities ?? [platform.caller.identity],
    clientCertificate: pulumi.output(platform.upstream.clientCertificate),
    files: { "shop.json": '{ "shop": "open" }' },
    image: config.require("image"),
  },
  inNamespace,
);
const [label = "", value = ""] = platform.gateway.selector.split("=");
new k8s.networking.v1.NetworkPolicy(
  "shop",
  {
    metadata: { name: "shop", namespace },
    spec: {
      podSelector: { matchLabels: matchLabelsOf("shop") },
      policyTypes: ["Ingress", "Egress"],
      ingress: [
        {
          from: [
            {
              namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": platform.gateway.namespace } },
              podSelector: { matchLabels: { [label]: value } },
            },
          ],
          ports: [{ protocol: "TCP", port: nginxPort }],
        },
      ],
    },
  },
  inNamespace,
);

// The way to it: the gateway calls it as itself, for one path of the host that it has a certificate for.
const admin = platform.admin;
const backend = new ApisixUpstream("shop", {
  admin,
  nodes: [shop.upstream.node],
  serverName: shop.upstream.serverName,
});
new ApisixRoute("shop", {
  admin,
  hosts: [platform.gateway.serverName],
  uri: "/shop.json",
  upstream: backend.id,
});

export const url = `${platform.gateway.url}shop.json`;
