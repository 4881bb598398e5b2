// An upstream in the gateway: where a route's requests go, over TLS verified on both sides.

import type {
  Balancer,
  HealthChecks,
  KeepAlivePool,
  Scheme,
  Timeouts,
  UpstreamNode,
} from "@mtls-everywhere/apisix-admin";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/references";
import * as pulumi from "@pulumi/pulumi";

import { type AdminObjectArgs, identityOf, providerOf } from "../dynamicProvider.ts";

export interface ApisixUpstreamArgs extends AdminObjectArgs {
  /** The servers behind the upstream; at least one. A node's weight defaults to 1. */
  readonly nodes: pulumi.Input<pulumi.Input<UpstreamNode>[]>;
  /** Name in the servers' certificates: sent as Host and SNI, and verified by the gateway. */
  readonly serverName: pulumi.Input<string>;
  /** Id of the ApisixSsl with `use: "client"` that the gateway presents. Defaults to none: only for servers that ask for no certificate. */
  readonly clientCertificate?: pulumi.Input<string>;
  /** Protocol towards the servers. Defaults to `https`. */
  readonly scheme?: pulumi.Input<Scheme>;
  /** How requests are spread over the nodes. Defaults to `roundrobin`. */
  readonly balancer?: pulumi.Input<Balancer>;
  /** Time limits towards the servers, in seconds. Defaults to the gateway's own: 60 each. */
  readonly timeout?: pulumi.Input<Timeouts>;
  /** How often a request that failed goes to another node. Defaults to once for each other node. */
  readonly retries?: pulumi.Input<number>;
  /** For how long it is tried again, in seconds; 0 for as long as `retries` lasts. Defaults to 0. */
  readonly retryTimeout?: pulumi.Input<number>;
  /** How nodes are watched, so that requests pass by those that fail. Defaults to not at all. */
  readonly healthChecks?: pulumi.Input<HealthChecks>;
  /** How connections to the nodes are kept for later requests. Defaults to the gateway's own pool. */
  readonly keepAlivePool?: pulumi.Input<KeepAlivePool>;
}

const provider = providerOf("upstreams");

export class ApisixUpstream extends pulumi.dynamic.Resource {
  declare readonly admin: pulumi.Output<AdminEndpoint>;
  declare readonly nodes: pulumi.Output<readonly UpstreamNode[]>;
  declare readonly serverName: pulumi.Output<string>;
  /** The object as the server holds it, without keys. */
  declare readonly live: pulumi.Output<Readonly<Record<string, unknown>>>;

  constructor(name: string, args: ApisixUpstreamArgs, opts?: pulumi.CustomResourceOptions) {
    const { nodes, serverName, clientCertificate, scheme, balancer, timeout } = args;
    const { retries, retryTimeout, healthChecks, keepAlivePool } = args;
    super(
      provider,
      name,
      {
        ...identityOf(name, args, opts),
        nodes,
        serverName,
        clientCertificate,
        scheme,
        balancer,
        timeout,
        retries,
        retryTimeout,
        healthChecks,
        keepAlivePool,
        live: undefined,
      },
      opts,
      "mtls",
      "ApisixUpstream",
    );
  }
}
