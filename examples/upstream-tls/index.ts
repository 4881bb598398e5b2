// Clients that speak plain HTTP to the gateway, which speaks TLS to a service outside the platform, verified against a given authority.

import * as pulumi from "@pulumi/pulumi";

import { connectCluster } from "../../components/cluster.ts";
import { EgressProxy } from "../../components/egressProxy.ts";
import { ApisixRoute } from "../../components/gateway/apisixRoute.ts";
import { ApisixUpstream } from "../../components/gateway/apisixUpstream.ts";
import { closedNamespace } from "../../components/namespace.ts";
import { readPlatform } from "../../consume.ts";
import { watchPulls } from "../../progress/pulls.ts";

const config = new pulumi.Config();
const platform = await readPlatform(config.require("platform"));
const { access, provider } = await connectCluster("cluster");

const namespace = "outside";
const home = closedNamespace("namespace", { namespace }, { provider });
const inNamespace = { provider, dependsOn: home };
watchPulls(access, namespace);

// The service, with its own authority, and a certificate for mutual TLS if there is one: both count for this service alone.
const clientCertificate = config.get("clientCertificate");
const egress = new EgressProxy(
  "egress",
  {
    namespace,
    authority: platform.authorityFor("upstream", namespace, inNamespace),
    gateway: platform.apisix,
    services: {
      foo: {
        host: config.require("service"),
        port: config.requireNumber("port"),
        roots: config.require("roots"),
        ...(clientCertificate ? { clientCertificate: { namespace, name: clientCertificate } } : {}),
      },
    },
    image: config.require("image"),
  },
  inNamespace,
);

// The route to it. The platform's gateway.plainHttp.serve must name the host: without, plain HTTP is refused.
const { admin } = platform;
const { node, serverName } = egress.upstreams.foo;
const upstream = new ApisixUpstream("foo", { admin, nodes: [node], serverName });
new ApisixRoute("foo", { admin, hosts: [config.require("host")], uri: "/*", upstream: upstream.id });

export const url = `http://${config.require("host")}/`;
