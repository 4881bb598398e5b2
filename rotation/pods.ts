// What a pod says about itself: the roots that it started with, and where it serves leaves.

import type { V1Pod } from "@kubernetes/client-node";
import { type Plane, planes } from "@mtls-everywhere/vocabulary/planes";

import { rootsAnnotation, servesAnnotation, upstreamLabel } from "../components/workload.ts";
import type { LivePod } from "./live.ts";

/** The pod's own record of its roots. */
export function livePod({ metadata }: V1Pod): LivePod {
  const { namespace = "", name = "", annotations = {} } = metadata ?? {};
  const started = planes.flatMap((plane) => {
    const digests = annotations[rootsAnnotation(plane)];
    return digests === undefined ? [] : [[plane, digests.split(",")] as const];
  });
  return { namespace, name, ...(started.length > 0 ? { started: Object.fromEntries(started) } : {}) };
}

/** The ports that a pod says it serves on; where it says nothing, its only port or the one named https. */
export function portsOf({ metadata, spec }: V1Pod): readonly (readonly [number, Plane])[] {
  const said = metadata?.annotations?.[servesAnnotation];
  if (said !== undefined) {
    return said.split(",").flatMap((one) => {
      const [port, plane] = one.split("=");
      return planes.includes(plane as Plane) ? [[Number(port), plane as Plane] as const] : [];
    });
  }
  const ports = (spec?.containers ?? []).flatMap(({ ports }) => ports ?? []);
  const https = ports.find(({ name }) => name === "https") ?? (ports.length === 1 ? ports[0] : undefined);
  return https ? [[https.containerPort, "upstream"]] : [];
}

/** Pods that serve, or may again; each once. */
export function running(pods: readonly V1Pod[]): V1Pod[] {
  const alive = pods.filter(
    ({ metadata, status }) => !metadata?.deletionTimestamp && !["Succeeded", "Failed"].includes(status?.phase ?? ""),
  );
  return [...new Map(alive.map((pod) => [`${pod.metadata?.namespace}/${pod.metadata?.name}`, pod])).values()];
}

/** Whether the gateway may reach it. */
export function isUpstream({ metadata }: V1Pod): boolean {
  return Object.entries(upstreamLabel).every(([key, value]) => metadata?.labels?.[key] === value);
}

export function ready({ status }: V1Pod): boolean {
  return status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}
