// What the planners' tests expect of every pod.

/** The labels of a workload's objects. */
export const labels = (name: string) => ({
  "app.kubernetes.io/name": name,
  "app.kubernetes.io/part-of": "mtls-everywhere",
});

/** What every pod of a workload has. */
export const podOf = (name: string, uid: number) => ({
  serviceAccountName: name,
  automountServiceAccountToken: false,
  enableServiceLinks: false,
  securityContext: {
    runAsNonRoot: true,
    runAsUser: uid,
    runAsGroup: uid,
    fsGroup: uid,
    seccompProfile: { type: "RuntimeDefault" },
  },
});

/** How a workload's pods are spread. */
export const spread = (name: string) => ({
  topologySpreadConstraints: [
    {
      maxSkew: 1,
      topologyKey: "kubernetes.io/hostname",
      whenUnsatisfiable: "ScheduleAnyway",
      labelSelector: { matchLabels: { "app.kubernetes.io/name": name } },
      matchLabelKeys: ["pod-template-hash"],
    },
  ],
});

/** What every container has. */
export const hardened = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};

/** A volume with a Secret's files, readable by the pod's group. */
export const secretVolume = (name: string, secretName: string) => ({
  name,
  secret: { secretName, defaultMode: 0o440 },
});

/** References as provided by an issued leaf and a trust bundle. */
export const leafRef = <P extends string>(plane: P, name: string) => ({ plane, namespace: "mtls", name });
export const trustRef = <P extends string>(plane: P) => ({
  ...{ plane, namespace: "mtls", name: `${plane}-trust`, key: "ca.crt" },
});
