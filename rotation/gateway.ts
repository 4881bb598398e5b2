// What the gateway holds: the certificates that it serves and presents, and the roots that it verifies clients with, whoever put them there.

import { adminClient, type Body, closeSessions } from "@mtls-everywhere/apisix-admin";
import { certificatesOf, digestOf, timeLimitsOf } from "@mtls-everywhere/cluster-access";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";

import { firstKeys, type KeyNames, keysOf } from "../components/keyNames.ts";
import type { LiveObject } from "./live.ts";
import { type Certificates, generationOf } from "./generationOf.ts";

/** The Admin API, as pods with these keys are reached. */
export type AdminOf = (running: KeyNames) => AdminEndpoint;

/** Every certificate object of the gateway; none when no gateway pod runs. */
export async function gatewayObjects(
  cluster: Cluster,
  admin: AdminOf,
  certificates: Certificates,
): Promise<LiveObject[]> {
  const [pod] = await cluster.pods(admin(firstKeys));
  if (pod === undefined) return [];
  try {
    const client = await adminClient(cluster, admin(keysOf(pod.metadata?.annotations ?? {})));
    return (await client.list("ssls", timeLimitsOf(cluster).reading)).map((body) => objectOf(body, certificates));
  } finally {
    await closeSessions(cluster);
  }
}

/** One certificate object; its plane decides by which roots the leaf's generation is told. */
export function objectOf(body: Body, certificates: Certificates): LiveObject {
  const plane = body["type"] === "client" ? "upstream" : "edge";
  const generation = generationOf(certificatesIn(body["cert"]), certificates[plane] ?? {});
  const accepted = (body["client"] as Body | undefined)?.["ca"];
  return {
    ...{ id: String(body["id"]), plane },
    ...(generation === undefined ? {} : { generation }),
    ...(accepted === undefined
      ? {}
      : { accepts: certificatesIn(accepted).map((certificate) => digestOf(certificate.toString())) }),
  };
}

function certificatesIn(pem: unknown) {
  try {
    return certificatesOf(String(pem));
  } catch {
    return [];
  }
}
