// What every server really serves: a handshake with each of its pods, compared with the Secret that its leaf comes from.

import type { X509Certificate } from "node:crypto";

import { AdminClient } from "@mtls-everywhere/apisix-admin";
import {
  certificatesOf,
  connectTo,
  digestOf,
  type KeyPair,
  rootOf,
  servedChain,
} from "@mtls-everywhere/cluster-access";
import { publicRoots } from "@mtls-everywhere/cluster-access/publicRoots";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type { Plane } from "@mtls-everywhere/vocabulary/planes";
import type { PodPort, SecretRef } from "@mtls-everywhere/vocabulary/references";

import type { PlatformOutputs } from "../../outputs.ts";
import { liveCertificates } from "../../renewer/decide.ts";
import type { PlatformAccess } from "./access.ts";
import { classify, type Hop, observedText } from "./check.ts";
import { clientLeaf, type Material } from "./material.ts";

/** A leaf as one pod serves it. */
export interface Served {
  readonly hop: Hop;
  /** A host of the gateway other than the platform's own. */
  readonly host?: string;
  /** Empty when no pod of the hop is ready. */
  readonly pod: string;
  /** Hexadecimal; empty, like the next two, if nothing was served. */
  readonly serial: string;
  /** Name of the trusted root that the chain ends at. */
  readonly root: string;
  /** The root's generation, where the outputs name it. */
  readonly generation?: string;
  /** ISO 8601, in UTC. */
  readonly notAfter: string;
  /** A warning passes by itself. */
  readonly verdict: "right" | "warning" | "wrong";
  /** What is wrong, as a sentence; empty if nothing is. */
  readonly remark: string;
}

/** Milliseconds for one handshake, and after which it is not retried. */
const deadline = 10_000;
/** How long a server may serve a leaf other than its Secret's, in milliseconds: files reach pods within a minute or so. */
const overlap = 120_000;

/** The servers' leaves, per hop and pod, those of the gateway's other hosts last. */
export async function servedCertificates(
  outputs: PlatformOutputs,
  material: Material,
  access: PlatformAccess,
  signal: AbortSignal,
): Promise<Served[]> {
  const { gateway, admin, store, upstream } = outputs;
  const servers: readonly Server[] = [
    { hop: "gateway", plane: "edge", at: gateway, pair: await clientLeaf(material, "edge") },
    { hop: "Admin API", plane: "admin", at: admin, pair: material.own.admin },
    { hop: "etcd", plane: "etcd", at: store, pair: material.own.etcd },
    { hop: "etcd peers", plane: "etcd-peer", at: store.peer },
    { hop: "upstream", plane: "upstream", at: upstream.pods, pair: material.own.upstream },
  ];
  const served = servers.map(async (server) => {
    const trusted = {
      roots: certificatesOf(server.hop === "gateway" ? material.gatewayRoots : material.roots[server.plane]),
      generations: outputs.generations?.digests[server.plane] ?? {},
    };
    const secret = outputs.serverCertificates?.[server.plane];
    const { hop, at, pair } = server;
    const look = async (pod: string): Promise<Served | undefined> => {
      try {
        const chain = await servedChain(access, { ...at, pod }, { within: deadline, pair, signal });
        const declared = secret && (await declaredIn(secret, access));
        return { hop, pod, ...judged(chain, trusted, declared, material.now()) };
      } catch (error) {
        // A pod that has left in the meantime serves nobody.
        const left = await access.readyPods(at.namespace, at.selector).catch(() => [pod]);
        return left.includes(pod) ? { hop, pod, ...nothing, remark: observedText(classify(error)) } : undefined;
      }
    };
    try {
      return await Promise.all((await access.readyPods(at.namespace, at.selector)).map(look));
    } catch (error) {
      return [{ hop, pod: "", ...nothing, remark: (error as Error).message }];
    }
  });
  const others = otherHosts(outputs, material, access, signal);
  return [...(await Promise.all(served)).flat(), ...(await others)].filter((one) => one !== undefined);
}

/** Other hosts' certificates come from whomever their owners chose: any root is right. */
async function otherHosts(
  { gateway, admin, generations }: PlatformOutputs,
  material: Material,
  access: PlatformAccess,
  signal: AbortSignal,
): Promise<Served[]> {
  const hosts = await hostsIn(admin, gateway.serverName, material, access);
  if (hosts.length === 0) return [];
  const pair = await clientLeaf(material, "edge");
  const roots = certificatesOf([material.roots.edge, material.gatewayRoots, publicRoots()].join("\n"));
  const trusted = { roots, generations: generations?.digests.edge ?? {}, anyRoot: true };
  const declared = await Promise.all(hosts.map(({ secret }) => declaredIn(secret, access)));
  const lookAt = async (pod: string, { name }: Host, declared: Declared | undefined): Promise<Served> => {
    const at = { ...gateway, pod, serverName: name.replace("*", "mtls-verify") };
    const seen = { hop: "gateway", host: name, pod } as const;
    try {
      const chain = await servedChain(access, at, { within: deadline, pair, signal });
      return { ...seen, ...judged(chain, trusted, declared, material.now()) };
    } catch (error) {
      return { ...seen, ...nothing, remark: observedText(classify(error)) };
    }
  };
  // What is wrong with the pods themselves, the platform's own host shows.
  const pods = await access.readyPods(gateway.namespace, gateway.selector).catch(() => []);
  const byPod = pods.map(async (pod) => {
    const seen: Served[] = [];
    for (const [index, host] of hosts.entries()) seen.push(await lookAt(pod, host, declared[index]));
    return seen;
  });
  return (await Promise.all(byPod)).flat();
}

interface Host {
  readonly name: string;
  readonly secret: SecretRef;
}

/** Names in the gateway's certificates; none if the Admin API does not answer, which its own checks report. */
async function hostsIn(
  admin: AdminEndpoint,
  own: string,
  { adminKey: key }: Material,
  access: PlatformAccess,
): Promise<readonly Host[]> {
  const client = new AdminClient({ connect: connectTo(access, admin), key, host: admin.serverName, deadline });
  try {
    const certificates = liveCertificates(await client.list("ssls"));
    return certificates
      .flatMap(({ names, secret }) => names.map((name) => ({ name, secret })))
      .filter(({ name }) => name !== own)
      .sort((one, other) => one.name.localeCompare(other.name));
  } catch {
    return [];
  } finally {
    client.close();
  }
}

/** What a Secret holds, or why that is not known. */
export type Declared =
  { readonly name: string; readonly leaf: X509Certificate } | { readonly name: string; readonly problem: string };

/** A host as the reports name its line. */
export function placeOf({ hop, host }: Pick<Served, "hop" | "host">): string {
  return host === undefined ? hop : `${hop}, ${host}`;
}

/** The roots that clients trust, and the SHA-256 digests of each generation's. */
export interface Trusted {
  readonly roots: readonly X509Certificate[];
  readonly generations: Readonly<Record<string, readonly string[]>>;
  /** Whether a chain that ends elsewhere is right too. */
  readonly anyRoot?: boolean;
}

/** Judges a chain that was served at this time, by the cluster's clock. */
export function judged(
  chain: readonly X509Certificate[],
  { roots, generations, anyRoot = false }: Trusted,
  declared: Declared | undefined,
  now: number,
): Omit<Served, "hop" | "pod"> {
  const leaf = chain[0]!;
  const root = rootOf(chain, roots);
  const generation = Object.keys(generations).find(
    (name) => root && generations[name]?.includes(digestOf(root.toString())),
  );
  const [verdict, remark] = verdictOn(leaf, root !== undefined || anyRoot, declared, now);
  return {
    serial: leaf.serialNumber,
    root: root ? nameOf(root, roots) : anyRoot ? "its owner's" : "none trusted",
    ...(generation === undefined ? {} : { generation }),
    notAfter: instant(leaf.validToDate),
    verdict,
    remark,
  };
}

function verdictOn(
  leaf: X509Certificate,
  trusted: boolean,
  declared: Declared | undefined,
  now: number,
): [verdict: Served["verdict"], remark: string] {
  if (now > Number(leaf.validToDate)) return ["wrong", "It has expired."];
  if (!trusted) return ["wrong", "Its chain does not end at a root that its clients trust."];
  if (declared === undefined) return ["right", ""];
  if ("problem" in declared) return ["warning", declared.problem];
  if (declared.leaf.fingerprint256 === leaf.fingerprint256) return ["right", ""];
  // The served leaf may also be the newer one: the Secret is read a moment later, and somebody may have put an old one back.
  const since = Math.max(Number(declared.leaf.validFromDate), Number(leaf.validFromDate));
  const other = declared.leaf.validFromDate > leaf.validFromDate ? "a newer one" : "another one";
  const remark = `Secret ${declared.name} holds ${other}, valid from ${instant(declared.leaf.validFromDate)}.`;
  return [now - since > overlap ? "wrong" : "warning", remark];
}

interface Server {
  readonly hop: Hop;
  readonly plane: Plane;
  readonly at: PodPort;
  /** What its client presents; the peer port shows its leaf before it asks for one. */
  readonly pair?: KeyPair;
}

const nothing = { serial: "", root: "", notAfter: "", verdict: "wrong" } as const;

async function declaredIn(secret: SecretRef, access: PlatformAccess): Promise<Declared> {
  const name = `${secret.namespace}/${secret.name}`;
  try {
    return { name, leaf: certificatesOf(await access.certificate(secret))[0]! };
  } catch (error) {
    return { name, problem: (error as Error).message };
  }
}

/** A root's common name, or the first eight hex digits of its SHA-256 if the name is not unique. */
function nameOf(root: X509Certificate, roots: readonly X509Certificate[]): string {
  const name = commonName(root);
  const alone = name !== undefined && roots.every((other) => other === root || commonName(other) !== name);
  return alone ? name : root.fingerprint256.replaceAll(":", "").slice(0, 8).toLowerCase();
}

/** The common name of a certificate's subject. */
export function commonName({ subject }: X509Certificate): string | undefined {
  return /^CN=(.+)$/m.exec(subject ?? "")?.[1];
}

function instant(date: Date): string {
  return date.toISOString().replace(".000Z", "Z");
}
