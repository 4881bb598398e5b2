// What every pod of the platform has in common: labels, Pod Security `restricted`, one service account, mounts.

import { createHash } from "node:crypto";

import type { ConfigMapKeyRef, SecretRef } from "@mtls-everywhere/apisix-admin";

/** The recommended labels; `app.kubernetes.io/name` alone selects a workload's pods. */
export function labelsOf(name: string) {
  return { "app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "mtls-everywhere" };
}

/** What selects a workload's pods, as an object. */
export function matchLabelsOf(name: string) {
  return { "app.kubernetes.io/name": name };
}

/** Pods with this label may be reached by the gateway, in any namespace. */
export const upstreamLabel = { "mtls-everywhere/upstream": "true" };

/** What selects a workload's pods, as kubectl takes it. */
export function selectorOf(name: string): string {
  return `app.kubernetes.io/name=${name}`;
}

/** A namespace that refuses pods which are not `restricted`. */
export function platformNamespace(name: string) {
  return { metadata: { name, labels: { "pod-security.kubernetes.io/enforce": "restricted" } } };
}

/** Pod fields that `restricted` asks for; the service account's token is mounted nowhere. */
export function restrictedPod(serviceAccountName: string, uid: number) {
  return {
    serviceAccountName,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: uid,
      runAsGroup: uid,
      fsGroup: uid,
      seccompProfile: { type: "RuntimeDefault" },
    },
  };
}

/** Container fields that `restricted` asks for, and a root file system that cannot be written. */
export const restrictedContainer = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};

/** Requests, and a limit on memory alone: a CPU limit would only add latency. */
export function resources(cpu: string, memory: string, memoryLimit: string) {
  return { requests: { cpu, memory }, limits: { memory: memoryLimit } };
}

/** How long the engine waits for a workload's pods, such as `5m`; its own default is ten minutes. */
export function waitAtMost(timeout: string) {
  return { customTimeouts: { create: timeout, update: timeout } };
}

/** A volume with a Secret's files, and where it is mounted. No subPath: that would never see a renewal. */
export function secretMount(name: string, secret: SecretRef, mountPath: string) {
  return {
    volume: { name, secret: { secretName: secret.name, defaultMode: 0o440 } },
    mount: { name, mountPath, readOnly: true },
  };
}

/** A volume with a ConfigMap's files, and where it is mounted. */
export function configMapMount(name: string, map: Pick<ConfigMapKeyRef, "name">, mountPath: string) {
  return { volume: { name, configMap: { name: map.name } }, mount: { name, mountPath, readOnly: true } };
}

/** Annotation that rolls a pod when its settings change. */
export function settingsDigest(settings: Readonly<Record<string, string>>) {
  const digest = createHash("sha256").update(JSON.stringify(settings)).digest("hex");
  return { "mtls-everywhere/settings-digest": digest.slice(0, 32) };
}
