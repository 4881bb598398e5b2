// A plugin config in the gateway: plugins that several routes share.

import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

import { type AdminObjectArgs, identityOf, providerOf } from "../dynamicProvider.ts";

/** Which plugins routes share. */
export interface ApisixPluginConfigArgs extends AdminObjectArgs {
  /** Plugins by name with their configuration. A plugin's secrets enter the state: pass them as secret outputs. */
  readonly plugins: pulumi.Input<Readonly<Record<string, unknown>>>;
  /**
   * For people; at most 256 characters.
   * @default none
   */
  readonly description?: pulumi.Input<string>;
}

const provider = providerOf("plugin_configs");

/**
 * Plugins that several routes share: a route names it by its `id`.
 * @example
 * const limits = new ApisixPluginConfig("limits", { admin, plugins: { "request-id": {} } });
 * new ApisixRoute("shop", { admin, hosts: ["api.example.com"], uri: "/shop/*", upstream: shop.id, pluginConfig: limits.id });
 */
export class ApisixPluginConfig extends pulumi.dynamic.Resource {
  /** The Admin API that it is in. */
  declare readonly admin: pulumi.Output<AdminEndpoint>;
  /** The object as the server holds it, plugins by their names. */
  declare readonly live: pulumi.Output<Readonly<Record<string, unknown>>>;

  constructor(name: string, args: ApisixPluginConfigArgs, opts?: pulumi.CustomResourceOptions) {
    const { plugins, description } = args;
    const inputs = { ...identityOf(name, args, opts), plugins, description, live: undefined };
    super(provider, name, inputs, opts, "mtls", "ApisixPluginConfig");
  }
}
