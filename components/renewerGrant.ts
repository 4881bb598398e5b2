// Lets a gateway's renewer read one Secret: what the owner of a server certificate grants it, in the owner's namespace.

import type { Identity } from "@mtls-everywhere/vocabulary/identities";
import type { SecretRef } from "@mtls-everywhere/vocabulary/references";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { labelsOf } from "./workload.ts";

/** Which Secret, and to which gateway. */
export interface RenewerGrantArgs {
  /** The Secret that an `ApisixSsl` names as its certificate. */
  readonly secret: pulumi.Input<SecretRef>;
  /** Who the gateway is: the platform's output `caller.identity`. */
  readonly gateway: Pick<Identity, "namespace" | "serviceAccount">;
}

/**
 * Lets a gateway's renewer read one Secret: a Role and a RoleBinding in the Secret's namespace. Without them the gateway keeps its
 * current certificate until the next `pulumi up`.
 * @example
 * new RenewerGrant("shop-renewer", { secret: leaf.secret, gateway: platform.caller.identity });
 */
export class RenewerGrant extends pulumi.ComponentResource {
  constructor(name: string, args: RenewerGrantArgs, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:RenewerGrant", name, {}, opts);
    const secret = pulumi.output(args.secret);
    const { role, binding } = renewerGrant(name, {
      gateway: args.gateway,
      secret: { namespace: secret.namespace, name: secret.name },
    });
    const made = new k8s.rbac.v1.Role(name, role, { parent: this });
    new k8s.rbac.v1.RoleBinding(name, binding, { parent: this, dependsOn: made });
    this.registerOutputs();
  }
}

/** Both objects. A list or watch by name is one with the field selector `metadata.name`. */
export function renewerGrant<Text extends pulumi.Input<string>>(
  name: string,
  {
    secret,
    gateway,
  }: Pick<RenewerGrantArgs, "gateway"> & { readonly secret: { readonly namespace: Text; readonly name: Text } },
) {
  const apiGroup = "rbac.authorization.k8s.io";
  const metadata = { name, namespace: secret.namespace, labels: labelsOf(name) };
  return {
    role: {
      metadata,
      rules: [
        { apiGroups: [""], resources: ["secrets"], resourceNames: [secret.name], verbs: ["get", "list", "watch"] },
      ],
    },
    binding: {
      metadata,
      roleRef: { apiGroup, kind: "Role", name },
      subjects: [{ kind: "ServiceAccount", name: gateway.serviceAccount, namespace: gateway.namespace }],
    },
  };
}
