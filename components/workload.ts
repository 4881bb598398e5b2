// What every pod of the platform has in common: labels, Pod Security `restricted`, one service account, mounts.

import { createHash } from "node:crypto";

import { certificatesOf, digestOf } from "@mtls-everywhere/cluster-access";
import { product } from "@mtls-everywhere/vocabulary/labels";
import type { Plane } from "@mtls-everywhere/vocabulary/planes";
import * as pulumi from "@pulumi/pulumi";

/** The recommended labels; `app.kubernetes.io/name` alone selects a workload's pods. */
export function labelsOf(name: string) {
  return { "app.kubernetes.io/name": name, "app.kubernetes.io/part-of": product };
}

/** Label selector of a workload's pods, as an object. */
export function matchLabelsOf(name: string) {
  return { "app.kubernetes.io/name": name };
}

/** The labels that a selector such as `a=b,c=d` asks for. */
export function labelsIn(selector: string): Readonly<Record<string, string>> {
  return Object.fromEntries(selector.split(",").map((label) => label.split("=") as [string, string]));
}

/** Pods with this label may be reached by the gateway, in any namespace. */
export const upstreamLabel = { "mtls-everywhere/upstream": "true" };

/** Label selector of these pods. */
export const upstreamSelector = Object.entries(upstreamLabel)
  .map(([key, value]) => `${key}=${value}`)
  .join();

/** Label selector of a workload's pods, as kubectl takes it. */
export function selectorOf(name: string): string {
  return `app.kubernetes.io/name=${name}`;
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

/** A Deployment's strategy: never fewer ready pods than asked for. */
export const withoutGap = { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } };

/**
 * Container fields of a server that keeps answering for some seconds after it is told to stop: endpoints and proxies forget
 * it meanwhile. Its image needs `sleep`.
 */
export function leavingFirst(seconds: number) {
  return { lifecycle: { preStop: { exec: { command: ["sleep", String(seconds)] } } } };
}

/** Keeps all but one of a workload's pods up while nodes are drained; with a single pod it would block the drain. */
export function disruptionBudget(name: string, namespace: string) {
  return {
    metadata: { name, namespace, labels: labelsOf(name) },
    spec: { maxUnavailable: 1, selector: { matchLabels: matchLabelsOf(name) } },
  };
}

/** Keeps a workload's pods on different nodes where there are enough of them; a single pod needs no such rule. */
export function spreadOverNodes(name: string, replicas: number) {
  if (replicas === 1) return {};
  const constraint = {
    maxSkew: 1,
    topologyKey: "kubernetes.io/hostname",
    whenUnsatisfiable: "ScheduleAnyway",
    labelSelector: { matchLabels: matchLabelsOf(name) },
    // While a Deployment rolls, its new pods are spread among themselves. Other workloads' pods have no such label.
    matchLabelKeys: ["pod-template-hash"],
  };
  return { topologySpreadConstraints: [constraint] };
}

/** A reference to what a pod mounts. As an output it makes the pod wait for that; a preview knows its name all the same. */
export type Mountable<T> = T | pulumi.Output<T>;

interface Named {
  readonly name: pulumi.Input<string>;
}

/** A volume with a Secret's files, and where it is mounted. No subPath: that would never see a renewal. */
export function secretMount(name: string, secret: Named, mountPath: string) {
  return {
    volume: { name, secret: { secretName: secret.name, defaultMode: 0o440 } },
    mount: { name, mountPath, readOnly: true },
  };
}

/** A volume with a ConfigMap's files, and where it is mounted. */
export function configMapMount(name: string, map: Named, mountPath: string) {
  return { volume: { name, configMap: { name: map.name } }, mount: { name, mountPath, readOnly: true } };
}

/** Digest of a workload's settings. */
export function settingsDigest(settings: Readonly<Record<string, string>>): string {
  return createHash("sha256").update(JSON.stringify(settings)).digest("hex").slice(0, 32);
}

/** Annotation that says which roots of a plane a pod started with. */
export function rootsAnnotation(plane: Plane): string {
  return `mtls-everywhere/roots.${plane}`;
}

/** Annotations of a pod that reads these planes' roots when it starts, by SHA-256: a change rolls it, and shows which pod has not rolled yet. */
export function startedWith(roots: Partial<Readonly<Record<Plane, pulumi.Input<string>>>>): PodAnnotations {
  return Object.fromEntries(
    Object.entries(roots).map(([plane, pem]) => [
      rootsAnnotation(plane as Plane),
      pulumi.output(pem).apply((text) => rootDigests(text).join(",")),
    ]),
  );
}

/** Annotation that says which planes' leaves a pod serves on which ports, such as `2379=etcd,2380=etcd-peer`. */
export const servesAnnotation = "mtls-everywhere/serves";

/** The annotation for these ports: a rotation looks at what is served there. */
export function serving(ports: Partial<Readonly<Record<Plane, number>>>): PodAnnotations {
  return {
    [servesAnnotation]: Object.entries(ports)
      .map(([plane, port]) => `${port}=${plane}`)
      .join(","),
  };
}

/** SHA-256 of each root of a PEM text, in its order. */
export function rootDigests(pem: string): string[] {
  return certificatesOf(pem).map((root) => digestOf(root.toString()));
}

/** Annotations of a pod template. */
export type PodAnnotations = Readonly<Record<string, pulumi.Input<string>>>;

/**
 * Annotation that rolls a pod when its settings change. Where a preview does not know the settings, only this is unknown:
 * were the whole object an output, name and selector would be unknown too, and a replacement would be announced.
 */
export function rolledBy(digest: pulumi.Input<string>) {
  return { "mtls-everywhere/settings-digest": digest };
}
