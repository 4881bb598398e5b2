// An upstream in the gateway: where a route's requests go, over TLS verified on both sides.

import type {
  Balancer,
  HealthChecks,
  KeepAlivePool,
  Scheme,
  Timeouts,
  UpstreamNode,
} from "@mtls-everywhere/apisix-admin";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

import { type AdminObjectArgs, identityOf, providerOf } from "../dynamicProvider.ts";

/** Which servers are behind an upstream, and how the gateway speaks to them. */
export interface ApisixUpstreamArgs extends AdminObjectArgs {
  /** The servers behind the upstream; at least one. */
  readonly nodes: pulumi.Input<pulumi.Input<UpstreamNode>[]>;
  /** Name in the servers' certificates: sent as Host and SNI, and verified by the gateway. */
  readonly serverName: pulumi.Input<string>;
  /**
   * Id of the {@link ApisixSsl} with `use: "client"` that the gateway presents in place of its own leaf.
   * @default the gateway's own leaf
   */
  readonly clientCertificate?: pulumi.Input<string>;
  /**
   * Protocol towards the servers.
   * @default `https`
   */
  readonly scheme?: pulumi.Input<Scheme>;
  /**
   * How requests are spread over the nodes.
   * @default `roundrobin`
   */
  readonly balancer?: pulumi.Input<Balancer>;
  /**
   * Time limits towards the servers, in seconds.
   * @default the gateway's own: 60 each
   */
  readonly timeout?: pulumi.Input<Timeouts>;
  /**
   * How many times a failed request is retried on another node.
   * @default once for each other node
   */
  readonly retries?: pulumi.Input<number>;
  /**
   * How long it is retried, in seconds; 0 for no limit but `retries`.
   * @default 0
   */
  readonly retryTimeout?: pulumi.Input<number>;
  /**
   * How nodes are health-checked, so that requests avoid those that fail.
   * @default not at all
   */
  readonly healthChecks?: pulumi.Input<HealthChecks>;
  /**
   * How connections to the nodes are kept for later requests.
   * @default the gateway's own pool
   */
  readonly keepAlivePool?: pulumi.Input<KeepAlivePool>;
}

const provider = providerOf("upstreams");

/**
 * An upstream: where a route's requests go, over TLS verified on both sides.
 * @example
 * const backend = new ApisixUpstream("shop", {
 *   admin: platform.admin,
 *   nodes: [{ host: "shop.shop.svc", port: 443 }],
 *   serverName: "shop.shop.svc",
 * });
 */
export class ApisixUpstream extends pulumi.dynamic.Resource {
  /** The Admin API that it is in. */
  declare readonly admin: pulumi.Output<AdminEndpoint>;
  /** The servers behind it. */
  declare readonly nodes: pulumi.Output<readonly UpstreamNode[]>;
  /** Name in their certificates. */
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
