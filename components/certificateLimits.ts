// Who gets which leaf from the platform's issuers: approver-policy's rules, and a guard so that nobody else approves.

import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import type { OwnedHost } from "@mtls-everywhere/vocabulary/identities";
import { planes } from "@mtls-everywhere/vocabulary/planes";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { approvalGuard, approverName, approverValues, type Installs, limits, policyUse } from "./approver.ts";
import type { LeafLimits } from "./certificate.ts";
import { planePolicies, policyName } from "./certificateLimitsPlan.ts";
import { type CertManager, type CertManagerArgs, chartFrom } from "./certManager.ts";
import type { Generation } from "./generations.ts";
import { issuerPlace, named } from "./issuerPlace.ts";
import { untilWebhookAnswers } from "./policyWebhook.ts";

/** For whose issuers, and what other namespaces may not have of them. */
export interface CertificateLimitsArgs {
  /** The platform's namespace. */
  readonly namespace: string;
  /** Where the platform runs. */
  readonly access: Cluster;
  /** The cert-manager that makes the requests: approver-policy is installed beside it. */
  readonly certManager: CertManager;
  /** Where approver-policy comes from, and what stays when it goes. */
  readonly settings: Pick<CertManagerArgs, "keep" | "keepCrds"> & {
    readonly approver: Pick<CertManagerArgs, "chart" | "version">;
  };
  /** The trusted generations of roots: the issuers of all of them are limited. */
  readonly generations: readonly Generation[];
  /** Hosts that other namespaces serve on the edge plane. */
  readonly hosts: readonly OwnedHost[];
}

/**
 * Requests to the platform's issuers are approved only where a policy allows what they ask for: those here, for the planes that
 * other namespaces use and for `verify`, and one for each leaf of the platform's own.
 */
export class CertificateLimits extends pulumi.ComponentResource implements LeafLimits {
  readonly namespace: string;
  readonly policies: LeafLimits["policies"];
  /** Must be there before the first issuer is. */
  readonly guard: pulumi.Resource;
  /** Hosts that other namespaces serve on the edge plane; they get no other host's leaf. */
  readonly hosts: readonly OwnedHost[];

  constructor(name: string, args: CertificateLimitsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:CertificateLimits", name, {}, opts);
    const { namespace, generations, certManager, settings } = args;
    const { clusterResourceNamespace } = certManager;
    this.namespace = namespace;
    this.hosts = args.hosts;
    const child = { parent: this };

    const kept = { ...child, retainOnDelete: settings.keep };
    const release = new k8s.helm.v3.Release(
      `${name}-approver`,
      {
        ...{ name: approverName, ...chartFrom(settings.approver), namespace: clusterResourceNamespace, timeout: 300 },
        values: approverValues(settings),
      },
      // It watches cert-manager's kinds.
      { ...kept, dependsOn: certManager },
    );
    const hook = untilWebhookAnswers(args.access);
    this.policies = { dependsOn: release, hooks: { beforeCreate: [hook], beforeUpdate: [hook] } };
    const { role, binding: use } = policyUse(clusterResourceNamespace);
    const made = new k8s.rbac.v1.ClusterRole(`${name}-policies`, role, kept);
    new k8s.rbac.v1.ClusterRoleBinding(`${name}-policies`, use, { ...kept, dependsOn: made });

    const issuers = generations.flatMap((generation) =>
      planes.map((plane) => {
        const { kind, prefix, metadata } = issuerPlace({ plane, namespace, clusterResourceNamespace }, generation);
        return { plane, generation, issuer: { kind, name: prefix, ...metadata } };
      }),
    );

    const { policy, binding } = approvalGuard(
      policyName(namespace, "certificate-requests"),
      issuers.map(({ issuer }) => issuer),
      clusterResourceNamespace,
    );
    const guard = new k8s.admissionregistration.v1.ValidatingAdmissionPolicy(`${name}-guard`, policy, child);
    this.guard = new k8s.admissionregistration.v1.ValidatingAdmissionPolicyBinding(`${name}-guard`, binding, {
      ...{ ...child, dependsOn: guard },
    });

    const policies = issuers.flatMap(({ plane, generation, issuer }) =>
      planePolicies({
        ...{ plane, issuer, name: named(plane, generation), trustDomain: generation.trustDomain },
        ...{ namespace, hosts: args.hosts, certManagerNamespace: clusterResourceNamespace },
      }),
    );
    for (const policy of policies) {
      new k8s.apiextensions.CustomResource(policy.metadata.name, policy, { ...child, ...this.policies });
    }
    this.registerOutputs();
  }
}

/** What an update says where nothing is limited. */
const unlimited =
  "Nothing limits which certificates the platform's issuers sign: that takes certManager.install and certManager.approver.install. " +
  "Whoever may create Certificates or CertificateRequests gets any name from the edge and upstream planes, in any namespace: " +
  "limit who may create them (docs/threat-model.md).";

/** The limits, where the stack installs what they need along with cert-manager. Otherwise it says that there are none. */
export async function limitCertificates(
  name: string,
  args: CertificateLimitsArgs & { readonly settings: Installs },
  opts?: pulumi.ComponentResourceOptions,
): Promise<CertificateLimits | undefined> {
  if (limits(args.settings)) return new CertificateLimits(name, args, opts);
  await pulumi.log.warn(unlimited);
  return undefined;
}
