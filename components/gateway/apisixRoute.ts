// A route in the gateway: which requests go to which upstream.

import type { Condition, Method, Timeouts } from "@mtls-everywhere/apisix-admin";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

import { type AdminObjectArgs, identityOf, providerOf } from "../dynamicProvider.ts";

/** Which requests a route takes, and where they go. */
export interface ApisixRouteArgs extends AdminObjectArgs {
  /** Hosts that the route answers for; at least one. Without it the route could be reached under another host's client policy. */
  readonly hosts: pulumi.Input<pulumi.Input<string>[]>;
  /** Path, or path prefix ending in `*`. Give this or `uris`. */
  readonly uri?: pulumi.Input<string>;
  /** Several paths or prefixes. Give this or `uri`. */
  readonly uris?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Methods that the route answers.
   * @default all
   */
  readonly methods?: pulumi.Input<pulumi.Input<Method>[]>;
  /** Id of the {@link ApisixUpstream} that requests go to. */
  readonly upstream: pulumi.Input<string>;
  /**
   * The highest wins where several routes match.
   * @default 0
   */
  readonly priority?: pulumi.Input<number>;
  /**
   * Plugins by name with their configuration. A plugin's secrets enter the state: pass them as secret outputs.
   * @default none
   */
  readonly plugins?: pulumi.Input<Readonly<Record<string, unknown>>>;
  /**
   * Id of an {@link ApisixPluginConfig}. Where both configure a plugin, the route's own configuration wins.
   * @default none
   */
  readonly pluginConfig?: pulumi.Input<string>;
  /**
   * Lets WebSocket connections through.
   * @default false
   */
  readonly websocket?: pulumi.Input<boolean>;
  /**
   * Time limits towards the upstream, in seconds.
   * @default the upstream's
   */
  readonly timeout?: pulumi.Input<Timeouts>;
  /**
   * Further conditions on a request besides host, path and method; all must hold.
   * @default none
   */
  readonly vars?: pulumi.Input<pulumi.Input<Condition>[]>;
  /**
   * For people; at most 256 characters.
   * @default none
   */
  readonly description?: pulumi.Input<string>;
  /**
   * Whether the route answers.
   * @default true
   */
  readonly enabled?: pulumi.Input<boolean>;
}

const provider = providerOf("routes");

/**
 * A route: which requests go to which upstream. The gateway answers 404 to a request that matches none.
 * @example
 * new ApisixRoute("shop", { admin: platform.admin, hosts: [platform.gateway.serverName], uri: "/shop/*", upstream: backend.id });
 * @throws RunError unless exactly one of `uri` and `uris` is given.
 */
export class ApisixRoute extends pulumi.dynamic.Resource {
  /** The Admin API that it is in. */
  declare readonly admin: pulumi.Output<AdminEndpoint>;
  /** Hosts that it answers for. */
  declare readonly hosts: pulumi.Output<readonly string[]>;
  /** Paths that it answers, `uri` as a list of one. */
  declare readonly uris: pulumi.Output<readonly string[]>;
  /** Id of the upstream. */
  declare readonly upstream: pulumi.Output<string>;
  /** The object as the server holds it. */
  declare readonly live: pulumi.Output<Readonly<Record<string, unknown>>>;

  constructor(name: string, args: ApisixRouteArgs, opts?: pulumi.CustomResourceOptions) {
    const { hosts, uri, uris, methods, upstream, priority, plugins, pluginConfig } = args;
    const { websocket, timeout, vars, description, enabled } = args;
    if ((uri === undefined) === (uris === undefined)) {
      throw new pulumi.RunError(`ApisixRoute "${name}": give exactly one of "uri" and "uris".`);
    }
    super(
      provider,
      name,
      {
        ...identityOf(name, args, opts),
        hosts,
        uris: uris ?? [uri],
        methods,
        upstream,
        priority,
        plugins,
        pluginConfig,
        websocket,
        timeout,
        vars,
        description,
        enabled,
        live: undefined,
      },
      opts,
      "mtls",
      "ApisixRoute",
    );
  }
}
