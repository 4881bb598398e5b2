// etcd's users: auth enabled, each user confined to its prefix, over etcd's JSON gateway with no Job and no shell.

import type { EtcdEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type { SecretKeyRef } from "@mtls-everywhere/vocabulary/references";
import * as pulumi from "@pulumi/pulumi";

import { providerOf } from "./dynamicProvider.ts";

/** Who may sign in at an etcd. */
export interface EtcdAuthArgs {
  /** The etcd to administer. */
  readonly etcd: pulumi.Input<EtcdEndpoint>;
  /** Password of etcd's `root` user, which administers the others. Change it in etcd first (`etcdctl user passwd root`), then in the Secret. */
  readonly root: pulumi.Input<SecretKeyRef>;
  /** Users besides root. Users that are not listed are left alone, except those that this resource created: they are deleted. */
  readonly users: pulumi.Input<pulumi.Input<EtcdUserArgs>[]>;
}

/** A user, confined to its prefix. */
export interface EtcdUserArgs {
  /** User name; also the name of the role that carries its permission. */
  readonly name: pulumi.Input<string>;
  /** Where its password lies. */
  readonly password: pulumi.Input<SecretKeyRef>;
  /** The user may read and write keys that start with this, and nothing else. */
  readonly prefix: pulumi.Input<string>;
}

const provider = providerOf("etcdAuth");

/** etcd's users, with authentication on. Deleting it leaves etcd as it is: an etcd that stays must not be left open because its administrator is gone. */
export class EtcdAuth extends pulumi.dynamic.Resource {
  /** The endpoint, once auth is enabled: use this to wait for it. */
  declare readonly etcd: pulumi.Output<EtcdEndpoint>;
  /** What etcd holds: users with their roles, roles with their prefixes. */
  declare readonly live: pulumi.Output<Readonly<Record<string, unknown>>>;

  constructor(name: string, args: EtcdAuthArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      provider,
      name,
      { etcd: args.etcd, root: args.root, users: args.users, live: undefined },
      opts,
      "mtls",
      "EtcdAuth",
    );
  }
}
