// A plugin config in the gateway: plugins that several routes share.

import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/references";
import * as pulumi from "@pulumi/pulumi";

import { type AdminObjectArgs, identityOf, providerOf } from "../dynamicProvider.ts";

export interface ApisixPluginConfigArgs extends AdminObjectArgs {
  /** Plugins by name with their configuration. A plugin's secrets enter the state: pass them as secret outputs. */
  readonly plugins: pulumi.Input<Readonly<Record<string, unknown>>>;
  /** For people; at most 256 characters. Defaults to none. */
  readonly description?: pulumi.Input<string>;
}

const provider = providerOf("plugin_configs");

export class ApisixPluginConfig extends pulumi.dynamic.Resource {
  declare readonly admin: pulumi.Output<AdminEndpoint>;
  /** The object as the server holds it, plugins by their names. */
  declare readonly live: pulumi.Output<Readonly<Record<string, unknown>>>;

  constructor(name: string, args: ApisixPluginConfigArgs, opts?: pulumi.CustomResourceOptions) {
    const { plugins, description } = args;
    const inputs = { ...identityOf(name, args, opts), plugins, description, live: undefined };
    super(provider, name, inputs, opts, "mtls", "ApisixPluginConfig");
  }
}
