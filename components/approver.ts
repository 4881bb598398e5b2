// approver-policy: how it is installed, who may use its policies, and the guard that leaves the decision to it alone.

import type { Issuer } from "@mtls-everywhere/vocabulary/planes";

/** An issuer whose requests are limited. */
export interface LimitedIssuer extends Pick<Issuer, "kind" | "name"> {
  /** Namespace of an `Issuer`. */
  readonly namespace?: string;
}

/** cert-manager's API group. */
export const group = "cert-manager.io";

/**
 * What keeps cert-manager's own approver, which approves whatever is left, away from these issuers: only approver-policy
 * approves their requests. Other issuers' go on as before. A request that names neither usage is refused too: its leaf would
 * serve for both, and a policy can only say what may be there, not what must.
 */
export function approvalGuard(name: string, issuers: readonly LimitedIssuer[], certManagerNamespace: string) {
  const ours = issuers.map(({ kind, name, namespace = "" }) => quoted([kind, namespace, name].join("/"))).join(", ");
  const ref = "object.spec.issuerRef";
  const or = (field: string, otherwise: string) =>
    `(has(${ref}.${field}) && ${ref}.${field} != '' ? ${ref}.${field} : ${quoted(otherwise)})`;
  const approved = (object: string) =>
    `has(${object}.status) && has(${object}.status.conditions) && ${object}.status.conditions.exists(c, c.type == 'Approved')`;
  const names = issuers.map(({ kind, name, namespace }) => `${kind} ${namespace ? `${namespace}/` : ""}${name}`);
  const ofCertManager = { apiGroups: [group], apiVersions: ["v1"] };
  return {
    policy: {
      metadata: { name },
      spec: {
        failurePolicy: "Fail",
        matchConstraints: {
          resourceRules: [
            { ...ofCertManager, operations: ["CREATE"], resources: ["certificaterequests"] },
            { ...ofCertManager, operations: ["UPDATE"], resources: ["certificaterequests/status"] },
          ],
        },
        matchConditions: [
          {
            name: "names-an-issuer-of-the-platform",
            expression:
              `${or("group", group)} == ${quoted(group)} && ` +
              `(${or("kind", "Issuer")} == 'Issuer' ? 'Issuer/' + object.metadata.namespace + '/' + ${ref}.name : 'ClusterIssuer//' + ${ref}.name) in [${ours}]`,
          },
        ],
        validations: [
          {
            expression:
              `request.operation == 'CREATE' || !(${approved("object")}) || (${approved("oldObject")}) || ` +
              `request.userInfo.username == ${quoted(approver(certManagerNamespace))}`,
            message: `requests to ${names.join(", ")} are approved by approver-policy alone`,
          },
          {
            expression:
              "request.operation == 'UPDATE' || " +
              "(has(object.spec.usages) && object.spec.usages.exists(u, u == 'server auth' || u == 'client auth'))",
            message: `requests to ${names.join(", ")} must name the usage "server auth" or "client auth": a leaf with neither serves for both`,
          },
        ],
      },
    },
    binding: { metadata: { name }, spec: { policyName: name, validationActions: ["Deny"] } },
  };
}

const certManagerAccount = "cert-manager";

/** cert-manager, which makes the request of every Certificate. */
export function requester(certManagerNamespace: string): string {
  return `system:serviceaccount:${certManagerNamespace}:${certManagerAccount}`;
}

/** approver-policy. */
function approver(certManagerNamespace: string): string {
  return `system:serviceaccount:${certManagerNamespace}:${approverName}`;
}

/** Name of approver-policy's release; its chart gives the service account the same. */
export const approverName = "cert-manager-approver-policy";

/** The values of approver-policy's chart. */
export function approverValues({ keepCrds }: { readonly keepCrds: boolean }) {
  return {
    crds: { enabled: true, keep: keepCrds },
    app: {
      metrics: { service: { enabled: false } },
      // Each policy is checked by it first: an update on a loaded node failed with the chart's five seconds.
      webhook: { timeoutSeconds: 30 },
    },
    // Without a request, whatever has one goes first.
    resources: { requests: { cpu: "50m", memory: "64Mi" } },
  };
}

/**
 * A policy counts only for those who may use it: cert-manager, which makes the request of every Certificate, may use them all. What
 * each allows, for which issuer and in which namespace, is in the policy.
 */
export function policyUse(certManagerNamespace: string) {
  const name = "cert-manager-policies";
  const apiGroup = "rbac.authorization.k8s.io";
  return {
    role: {
      metadata: { name },
      rules: [{ apiGroups: ["policy.cert-manager.io"], resources: ["certificaterequestpolicies"], verbs: ["use"] }],
    },
    binding: {
      metadata: { name },
      roleRef: { apiGroup, kind: "ClusterRole", name },
      subjects: [{ kind: "ServiceAccount", name: certManagerAccount, namespace: certManagerNamespace }],
    },
  };
}

/** A text as a CEL string; these hold names and patterns, never quotes. */
export function quoted(text: string): string {
  return `'${text}'`;
}
