// Decides what in a cluster conflicts with a platform, and how to resolve each conflict.

import { approverName, limits } from "../components/approver.ts";
import { isOlder, oldestCertManager, releaseName } from "../components/certManager.ts";
import type { Controller, Kinds, Neighbours, Wanted } from "./live.ts";
import { nameOf } from "./names.ts";

/** A line for each conflict; none if the platform can be created or updated. The stack's own objects are fine. */
export function clashes(live: Neighbours, wanted: Wanted): string[] {
  return [
    ...homeClashes(live, wanted),
    ...(wanted.certManager.install ? installClashes(live, wanted) : existingClashes(live, wanted)),
    ...(limits(wanted.certManager) ? approverClashes(live, wanted) : []),
    ...(live.monitoringKinds === "absent"
      ? [
          "monitoring.install needs the Prometheus operator's CRDs, which are missing: install the operator first, or unset monitoring.install",
        ]
      : []),
  ];
}

/** Objects that have the names of the platform's. */
function homeClashes({ home, objects, claims }: Neighbours, wanted: Wanted): string[] {
  const { namespace } = wanted;
  if (home === "absent" && !wanted.createNamespace) {
    return [
      `Namespace ${namespace} does not exist, and createNamespace is false: create it (kubectl create namespace ${namespace}), or unset createNamespace`,
    ];
  }
  if (wanted.released && wanted.createNamespace && home !== "absent") {
    return [
      `Namespace ${namespace} was released with createNamespace: false, and a stack cannot take over a namespace that exists: set createNamespace back to false`,
    ];
  }
  if (wanted.running) return [];
  const foreign = objects.filter((object) => isForeign(object, wanted));
  const taken = typeof home === "object" && wanted.createNamespace && isForeign(home, wanted) ? home : undefined;
  const usable = taken !== undefined && taken.stack === undefined && foreign.length === 0;
  const names = [
    ...(taken === undefined ? [] : [{ ...taken, what: `Namespace ${namespace}` }]),
    ...foreign.map((object) => ({ ...object, what: nameOf(object) })),
  ];
  const owners = [...new Set(names.map(({ stack }) => stack))];
  return [
    ...owners.map((stack) => {
      const theirs = names.filter((object) => object.stack === stack).map(({ what }) => what);
      const wayOut = `set ${usable ? "createNamespace: false to use it, or " : ""}namespace to another name`;
      return `${theirs.join(", ")} already ${theirs.length === 1 ? "exists" : "exist"}${ownedBy({ stack })}: ${wayOut}`;
    }),
    ...(claims.length > 0 && !objects.some(({ kind }) => kind === "StatefulSet")
      ? [
          `Namespace ${namespace} still has the volumes of an earlier etcd, whose passwords are gone: nobody can sign in to it any more. ` +
            `To delete them with their data: kubectl -n ${namespace} delete pvc ${claims.join(" ")}`,
        ]
      : []),
  ];
}

/** If the stack installs cert-manager. A cluster can have only one: its CRDs and webhooks are cluster-wide. */
function installClashes({ certManagerHome, controllers, kinds }: Neighbours, wanted: Wanted): string[] {
  // In the stack's own namespace it is the stack's; if the caller may not look, nothing is reported.
  if (certManagerHome === "unknown") return [];
  if (certManagerHome !== "absent" && !isForeign(certManagerHome, wanted)) return [];
  const others = controllers.filter(({ stack }) => stack === wanted.stack || isForeign({ stack }, wanted));
  if (others.length > 0) return others.map((controller) => otherController(controller, wanted));
  const { namespace } = wanted.certManager;
  return [
    ...(certManagerHome === "absent"
      ? []
      : [
          `Namespace ${namespace} already exists${ownedBy(certManagerHome)}, but no cert-manager runs in it: set certManager.namespace to another name`,
        ]),
    ...(typeof kinds === "object" ? kindsClash(kinds, namespace) : []),
  ];
}

function otherController({ stack, ...controller }: Controller, wanted: Wanted): string {
  const { namespace, issuersIn } = controller;
  const what = versioned(controller);
  const where = `runs in namespace ${namespace}`;
  if (stack === wanted.stack) {
    return `${what} ${where}, where this stack installed it, and cannot be moved: set certManager.namespace back to ${namespace}`;
  }
  const settings = `set certManager: { install: false, namespace: ${issuersIn} }`;
  return isTooOld(controller)
    ? `${what} already ${where}, and is older than ${oldestCertManager}, the oldest supported: upgrade it, then ${settings}`
    : `${what} already ${where}: ${settings}`;
}

/** If the stack installs approver-policy, of which a cluster can have only one, too. */
function approverClashes({ approverKinds, admissionKinds }: Neighbours, wanted: Wanted): string[] {
  const without = "set certManager.approver.install: false, which leaves requests unlimited";
  const release = typeof approverKinds === "object" ? approverKinds.release : undefined;
  const own = release === `${wanted.certManager.namespace}/${approverName}`;
  return [
    ...(admissionKinds === "absent"
      ? [
          `The API server has no ValidatingAdmissionPolicies, which keep others from approving certificate requests: upgrade to Kubernetes 1.30, or ${without}`,
        ]
      : []),
    ...(typeof approverKinds === "object" && !own
      ? [
          `approver-policy's CRD already exists${release === undefined ? "" : `, owned by Helm release ${release}`}: uninstall it with its policies, or ${without}`,
        ]
      : []),
  ];
}

/** CRDs that a release kept on purpose are adopted by one of the same name in the same namespace. */
function kindsClash({ release }: Kinds, namespace: string): string[] {
  if (release === `${namespace}/${releaseName}`) return [];
  const owner = release === undefined ? "" : `, owned by Helm release ${release}`;
  const crds = "--overwrite crd -l app.kubernetes.io/name=cert-manager";
  return [
    `cert-manager's CRDs already exist${owner}, but no cert-manager runs: hand them over to the one that this stack installs ` +
      `(kubectl label ${crds} app.kubernetes.io/managed-by=Helm; ` +
      `kubectl annotate ${crds} meta.helm.sh/release-name=${releaseName} meta.helm.sh/release-namespace=${namespace}), ` +
      `or start the one they belong to and set certManager: { install: false }`,
  ];
}

/** If the stack uses an existing cert-manager. */
function existingClashes({ controllers, kinds }: Neighbours, wanted: Wanted): string[] {
  const { namespace } = wanted.certManager;
  if (kinds === "absent") {
    return [
      "certManager.install is false, but the cluster has no cert-manager: unset certManager.install, or install one first (docs/roles.md)",
    ];
  }
  const used = controllers.find(({ issuersIn }) => issuersIn === namespace);
  if (used === undefined) {
    return controllers.map(
      (controller) =>
        `${versioned(controller)} looks for the Secrets of ClusterIssuers in namespace ${controller.issuersIn}, not in ${namespace}: ` +
        `set certManager: { install: false, namespace: ${controller.issuersIn} }`,
    );
  }
  // If a platform already runs on it, it is evidently good enough.
  if (wanted.running || !isTooOld(used)) return [];
  return [
    `${versioned(used)} runs in namespace ${used.namespace}, and is older than ${oldestCertManager}, the oldest supported: upgrade it`,
  ];
}

/** On a running stack's objects, another stack's label may be its own former name. */
function isForeign({ stack }: Labelled, wanted: Wanted): boolean {
  return stack === undefined || (stack !== wanted.stack && !wanted.running);
}

function isTooOld({ version }: Controller): boolean {
  return version !== undefined && isOlder(version, oldestCertManager);
}

function versioned({ version }: Pick<Controller, "version">): string {
  return version === undefined ? "cert-manager" : `cert-manager ${version}`;
}

function ownedBy({ stack }: Labelled): string {
  return stack === undefined ? "" : `, owned by stack ${stack}`;
}

type Labelled = { readonly stack?: string | undefined };
