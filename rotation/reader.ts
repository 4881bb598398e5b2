// Reads from the cluster what a rotation looks at.

import type { X509Certificate } from "node:crypto";

import type { V1ConfigMap, V1Pod } from "@kubernetes/client-node";
import { certificatesOf, digestOf, servedChain } from "@mtls-everywhere/cluster-access";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import { librarySelector } from "@mtls-everywhere/vocabulary/labels";
import { type Plane, planes } from "@mtls-everywhere/vocabulary/planes";

import { generationsAnnotation, trustKey, trustLabel } from "../components/trustBundle.ts";
import { upstreamSelector } from "../components/workload.ts";
import { type AdminOf, gatewayObjects } from "./gateway.ts";
import { issuerOf, type Issuers, leavesOf } from "./leaves.ts";
import { Lists } from "./lists.ts";
import { isOurs, type Live, type LiveBundle, type LivePod, type LiveRoots, type LiveServer } from "./live.ts";
import { isUpstream, livePod, portsOf, ready, running } from "./pods.ts";
import { type Certificates, generationOf } from "./generationOf.ts";

/** Whose rotation it is. */
export interface LivePlatform extends Issuers {
  /** Host of the gateway, which serves nobody who asks for none. */
  readonly host: string;
  readonly admin: AdminOf;
}

/** The platform's own bundles: what each generation's root is. */
export interface OwnBundles {
  readonly roots: LiveRoots;
  readonly certificates: Certificates;
}

export class RotationReader {
  readonly #cluster: Cluster;
  readonly #lists: Lists;
  readonly #platform: LivePlatform;
  readonly #deadline: number;

  /** `deadline`: for each server's answer, in milliseconds. */
  constructor(cluster: Cluster, platform: LivePlatform, deadline = 10_000) {
    this.#deadline = deadline;
    this.#cluster = cluster;
    this.#lists = new Lists(cluster.config);
    this.#platform = platform;
  }

  /** Reads only the platform's own bundles: all that is needed while nothing changes. */
  async ownBundles(): Promise<OwnBundles> {
    const { namespace, founder } = this.#platform;
    const maps = await Promise.all(planes.map((plane) => this.#lists.configMap(namespace, `${plane}-trust`)));
    const found = planes.flatMap((plane, index) => {
      const map = maps[index];
      return map === undefined ? [] : [[plane, rootsOf(map, founder)] as const];
    });
    const digests = found.map(([plane, roots]) => [
      plane,
      Object.fromEntries(Object.entries(roots).map(([name, own]) => [name, own.map(digest)])),
    ]);
    return {
      roots: Object.fromEntries(digests) as LiveRoots,
      certificates: Object.fromEntries(found),
    };
  }

  /** Whether all leaves of the platform's own namespace name the issuers of this generation. */
  async signsAlready(generation: string): Promise<boolean> {
    const certificates = await this.#lists.certificates(this.#platform.namespace);
    const leaves = certificates.flatMap((certificate) => issuerOf(this.#platform, certificate) ?? []);
    return leaves.every(({ generation: name }) => name === generation);
  }

  /** Everything, by lists of all namespaces and a handshake with each pod's ports. */
  async live({ roots, certificates }: OwnBundles): Promise<Live> {
    const [maps, library, upstreams, issued, requests, objects] = await Promise.all([
      this.#lists.configMaps(trustLabel),
      this.#lists.pods(librarySelector),
      this.#lists.pods(upstreamSelector),
      this.#lists.certificates(),
      this.#lists.requests(),
      gatewayObjects(this.#cluster, this.#platform.admin, certificates).catch((error: Error) => error.message),
    ]);
    const known = new Set(Object.values(roots).flatMap((generations) => Object.keys(generations)));
    const pods = await this.#pods(running([...library, ...upstreams]), roots, certificates);
    return {
      roots,
      bundles: bundlesOf(maps, roots),
      pods: pods.map(({ pod }) => pod),
      leaves: leavesOf(this.#platform, issued, requests).filter(
        ({ wanted, issued }) => known.has(wanted) || known.has(issued ?? ""),
      ),
      servers: pods.flatMap(({ servers }) => servers),
      objects,
    };
  }

  async #pods(pods: readonly V1Pod[], roots: LiveRoots, certificates: Certificates) {
    const looked = await Promise.all(
      pods.map(async (object): Promise<{ pod: LivePod; servers: readonly LiveServer[] } | undefined> => {
        const pod = livePod(object);
        // Another platform's: a pod outside our namespace matters only as a service behind the gateway.
        const behind = isUpstream(object) || pod.namespace === this.#platform.namespace;
        if (pod.started === undefined && !behind) return undefined;
        const ours = Object.entries(pod.started ?? {}).some(([plane, digests]) =>
          isOurs(plane as Plane, digests, roots),
        );
        if (pod.started !== undefined && !ours) return undefined;
        const servers = ready(object) ? await this.#servers(object, certificates) : [];
        // A pod that says nothing is another platform's when it serves a leaf of none of these generations.
        const foreign = servers.some(
          ({ generation, unchecked }) => generation === undefined && unchecked === undefined,
        );
        if (pod.started === undefined && pod.namespace !== this.#platform.namespace && foreign) return undefined;
        return { pod, servers };
      }),
    );
    return looked.filter((one) => one !== undefined);
  }

  async #servers(pod: V1Pod, certificates: Certificates): Promise<readonly LiveServer[]> {
    const { namespace = "", name = "" } = pod.metadata ?? {};
    return Promise.all(
      portsOf(pod).map(async ([port, plane]): Promise<LiveServer> => {
        const server = { namespace, pod: name, port, plane };
        // All servers but the gateway, etcd's peer port included, answer without a name.
        const serverName = plane === "edge" ? this.#platform.host : "";
        try {
          const at = { namespace, selector: "", pod: name, port, serverName };
          const chain = await servedChain(this.#cluster, at, { within: this.#deadline });
          const generation = generationOf(chain, certificates[plane] ?? {});
          return generation === undefined ? server : { ...server, generation };
        } catch (error) {
          return { ...server, unchecked: (error as Error).message };
        }
      }),
    );
  }
}

/** The roots of one of the platform's own bundles, by generation. Bundles of 0.1.0 do not name generations: the roots' subjects do. */
function rootsOf(map: V1ConfigMap, founder: string): Record<string, X509Certificate[]> {
  const annotation = map.metadata?.annotations?.[generationsAnnotation];
  const named =
    annotation === undefined ? undefined : (JSON.parse(annotation) as Readonly<Record<string, readonly string[]>>);
  const nameOf = (root: X509Certificate) =>
    named
      ? Object.keys(named).find((name) => named[name]?.includes(digest(root)))
      : /CN=\S+ root (\S+)/.exec(root.subject)?.[1];
  const roots: Record<string, X509Certificate[]> = {};
  for (const root of certificatesIn(map.data?.[trustKey])) {
    // What the record does not know was put there by somebody else.
    const name = nameOf(root) ?? (named ? undefined : founder);
    if (name !== undefined) (roots[name] ??= []).push(root);
  }
  return roots;
}

function bundlesOf(maps: readonly V1ConfigMap[], roots: LiveRoots): LiveBundle[] {
  return maps
    .map((map) => ({
      plane: map.metadata?.labels?.[trustLabel] as Plane,
      namespace: map.metadata?.namespace ?? "",
      name: map.metadata?.name ?? "",
      roots: certificatesIn(map.data?.[trustKey]).map(digest),
    }))
    .filter(({ plane, roots: digests }) => isOurs(plane, digests, roots));
}

/** None where somebody has put something else there: it is then reported as lacking all roots. */
function certificatesIn(pem: string | undefined): readonly X509Certificate[] {
  try {
    return certificatesOf(pem ?? "");
  } catch {
    return [];
  }
}

function digest(certificate: X509Certificate): string {
  return digestOf(certificate.toString());
}
