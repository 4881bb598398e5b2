// approver-policy: how it is installed, who may use its policies, and the guard that leaves the decision to it alone.

import type { Issuer } from "@mtls-everywhere/vocabulary/planes";

/** An issuer whose requests are limited. */
export interface LimitedIssuer extends Pick<Issuer, "kind" | "name"> {
  /** Namespace of an `Issuer`. */
  readonly namespace?: string;
}

/** What a stack installs, by `certManager`'s keys. */
export interface Installs {
  readonly install: boolean;
  readonly approver: { readonly install: boolean };
}

/** Whether it installs what limits requests. */
export function limits({ install, approver }: Installs): boolean {
  return install && approver.install;
}

/** cert-manager's API group. */
export const group = "cert-manager.io";

/** approver-policy's policies, as the Kubernetes API names them. */
export const policies = { group: "policy.cert-manager.io", version: "v1alpha1", plural: "certificaterequestpolicies" };

/** Bytes of a signing request in base64: a leaf's has less than two thousand, and one with thousands of names holds up all others. */
const largestRequest = 16_384;

/**
 * What keeps cert-manager's own approver, which approves whatever is left, away from these issuers: only approver-policy
 * approves their requests. Other issuers' go on as before. What approver-policy has judged stays what it was: it approves a request by
 * its name alone, so nobody but cert-manager makes one for a Certificate, whose name has a random part, and none ever changes. A request
 * that names neither usage is refused too: its leaf would serve for both, and a policy can only say what may be there, not what must.
 */
export function approvalGuard(name: string, issuers: readonly LimitedIssuer[], certManagerNamespace: string) {
  const names = issuers.map(({ kind, name, namespace }) => `${kind} ${namespace ? `${namespace}/` : ""}${name}`);
  const requests = `requests to ${names.join(", ")}`;
  const ofCertManager = { apiGroups: [group], apiVersions: ["v1"] };
  const approved = (object: string) =>
    `has(${object}.status) && has(${object}.status.conditions) && ${object}.status.conditions.exists(c, c.type == 'Approved')`;
  const user = "request.userInfo.username";
  const [maker, judge] = [quoted(requester(certManagerNamespace)), quoted(approver(certManagerNamespace))];
  const rules = (operation: string) => (expression: string, message: string) => ({
    expression: `request.operation != ${quoted(operation)} || ${expression}`,
    message: `${requests} ${message}`,
  });
  const [made, changed] = [rules("CREATE"), rules("UPDATE")];
  return {
    policy: {
      metadata: { name },
      spec: {
        failurePolicy: "Fail",
        matchConstraints: {
          resourceRules: [
            { ...ofCertManager, operations: ["CREATE"], resources: ["certificaterequests"] },
            {
              ...ofCertManager,
              operations: ["UPDATE"],
              resources: ["certificaterequests", "certificaterequests/status"],
            },
          ],
        },
        matchConditions: [
          {
            name: "names-an-issuer-of-the-platform",
            expression: `[object, oldObject].exists(o, o != null && ${namesOneOf(issuers, "o")})`,
          },
        ],
        validations: [
          made(
            `${user} == ${maker} || authorizer.group(${quoted(policies.group)}).resource(${quoted(policies.plural)}).check('use').allowed()`,
            "are made by cert-manager, for Certificates, or by whoever may use every policy",
          ),
          made(
            "(has(object.spec.usages) && object.spec.usages.exists(u, u == 'server auth' || u == 'client auth'))",
            'must name the usage "server auth" or "client auth": a leaf with neither serves for both',
          ),
          made(`size(object.spec.request) <= ${largestRequest}`, `have at most ${largestRequest} bytes`),
          changed("object.spec == oldObject.spec", "stay as they were made"),
          changed(
            `!(${approved("object")}) || (${approved("oldObject")}) || ${user} == ${judge}`,
            "are approved by approver-policy alone",
          ),
          changed(
            `${user} in [${maker}, ${judge}] || has(object.status) == has(oldObject.status) && ` +
              "(!has(object.status) || object.status == oldObject.status)",
            "have their status from cert-manager and approver-policy alone",
          ),
        ],
      },
    },
    binding: { metadata: { name }, spec: { policyName: name, validationActions: ["Deny"] } },
  };
}

/** Whether the request in a variable names one of these issuers. */
function namesOneOf(issuers: readonly LimitedIssuer[], request: string): string {
  const ours = issuers.map(({ kind, name, namespace = "" }) => quoted([kind, namespace, name].join("/"))).join(", ");
  const ref = `${request}.spec.issuerRef`;
  const or = (field: string, otherwise: string) =>
    `(has(${ref}.${field}) && ${ref}.${field} != '' ? ${ref}.${field} : ${quoted(otherwise)})`;
  return (
    `${or("group", group)} == ${quoted(group)} && ` +
    `(${or("kind", "Issuer")} == 'Issuer' ? 'Issuer/' + ${request}.metadata.namespace + '/' + ${ref}.name : 'ClusterIssuer//' + ${ref}.name) in [${ours}]`
  );
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
      rules: [{ apiGroups: [policies.group], resources: [policies.plural], verbs: ["use"] }],
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
