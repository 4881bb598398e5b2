// A global rule in the gateway: plugins that act on every request, whichever route it takes.

import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

import { type AdminObjectArgs, identityOf, providerOf } from "../dynamicProvider.ts";

/** What a global rule does, and where. It cannot adopt another: it has no labels that could name an owner. */
export interface ApisixGlobalRuleArgs extends Omit<AdminObjectArgs, "adopt"> {
  /** Plugins by name with their configuration. A plugin's secrets enter the state: pass them as secret outputs. */
  readonly plugins: pulumi.Input<Readonly<Record<string, unknown>>>;
}

const provider = providerOf("global_rules");

/**
 * Plugins that act on every request, whichever route it takes. Its id ends in a digest of its owner. The server refuses a plugin that
 * another global rule already has.
 * @example
 * new ApisixGlobalRule("limits", { admin, plugins: { "limit-count": { count: 100, time_window: 60, key: "remote_addr" } } });
 */
export class ApisixGlobalRule extends pulumi.dynamic.Resource {
  /** The Admin API that it is in. */
  declare readonly admin: pulumi.Output<AdminEndpoint>;
  /** The object as the server holds it, plugins by their names. */
  declare readonly live: pulumi.Output<Readonly<Record<string, unknown>>>;

  constructor(name: string, args: ApisixGlobalRuleArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      provider,
      name,
      { ...identityOf(name, args, opts), plugins: args.plugins, live: undefined },
      // No two rules may have the same plugin, not even while one replaces the other.
      { deleteBeforeReplace: true, ...opts },
      "mtls",
      "ApisixGlobalRule",
    );
  }
}
