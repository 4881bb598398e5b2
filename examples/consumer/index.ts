// Another team's stack: its own service behind the platform's gateway, with its own leaf, trust bundle and route.

import * as pulumi from "@pulumi/pulumi";

import { connectCluster } from "../../components/cluster.ts";
import { ApisixRoute } from "../../components/gateway/apisixRoute.ts";
import { ApisixUpstream } from "../../components/gateway/apisixUpstream.ts";
import { closedNamespace } from "../../components/namespace.ts";
import { NginxUpstream } from "../../components/nginxUpstream.ts";
import { readPlatform } from "../../consume.ts";
import { watchDenials } from "../../progress/denials.ts";
import { watchPulls } from "../../progress/pulls.ts";

const config = new pulumi.Config();
const platform = await readPlatform(config.require("platform"));
const { access, provider } = await connectCluster("cluster");

const namespace = "shop";
const home = closedNamespace("namespace", { namespace }, { provider });
const inNamespace = { provider, dependsOn: home };
watchDenials(access, namespace);
watchPulls(access, namespace);

// The service: the platform's issuer signs its leaf, and it answers only the platform's gateway.
const shop = new NginxUpstream(
  "shop",
  {
    namespace,
    authority: platform.authorityFor("upstream", namespace, inNamespace),
    gateway: platform.apisix,
    files: { "shop.json": '{ "shop": "open" }' },
    image: config.require("image"),
  },
  inNamespace,
);

// The route to it: one path on the host that the platform has a certificate for.
const { admin, gateway } = platform;
const upstream = new ApisixUpstream("shop", {
  admin,
  nodes: [shop.upstream.node],
  serverName: shop.upstream.serverName,
});
new ApisixRoute("shop", { admin, hosts: [gateway.serverName], uri: "/shop.json", upstream: upstream.id });

export const url = `${gateway.url}shop.json`;
