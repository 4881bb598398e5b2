// The gateway's leaf for upstreams as an object in APISIX, as release 0.1 presented it. It stays while a consumer's upstream names it.

import { livePresenters } from "@mtls-everywhere/apisix-admin/livePresenters";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import type { AdminEndpoint, GatewayCaller } from "@mtls-everywhere/vocabulary/endpoints";
import * as pulumi from "@pulumi/pulumi";

import type { Gateway } from "../gateway.ts";
import { lastOutputs } from "../lastOutputs.ts";
import { RenewerGrant } from "../renewerGrant.ts";
import { ApisixSsl } from "./apisixSsl.ts";
import type { ApisixUpstreamArgs } from "./apisixUpstream.ts";

export interface CallerCertificate {
  /** The object, while an upstream names it; a stack that never had it gets none. */
  readonly object?: ApisixSsl;
  /** How this stack's own upstreams refer to it: they name the object in the update that replaces a gateway that presents nothing by default. */
  readonly upstream: Pick<ApisixUpstreamArgs, "clientCertificate">;
}

export interface CallerCertificateArgs {
  /** The gateway that presents it, and whose renewer keeps the object up to date. */
  readonly gateway: Pick<Gateway, "admin" | "identity" | "upstreamCertificate">;
  /** The cluster where the gateway is asked who names the object. */
  readonly cluster: Cluster;
  /** This stack's own upstreams, such as `upstreams/hello`: they do not count. */
  readonly own: readonly string[];
}

/** Registers the object with its renewal, or leaves both out: then the engine removes what is there. */
export async function callerCertificate(
  name: string,
  args: CallerCertificateArgs,
  opts?: pulumi.ComponentResourceOptions,
): Promise<CallerCertificate> {
  const { cluster, own, gateway } = args;
  const outputs = await lastOutputs();
  const fate = fateOf(outputs["caller"] as Partial<GatewayCaller> | undefined);
  if (fate === "none") return { upstream: {} };
  if (fate === "kept while named") {
    const named = await namedByOthers(name, outputs["admin"] as AdminEndpoint, { cluster, own });
    if (!named) return { upstream: {} };
  }
  const { admin, identity, upstreamCertificate: certificate } = gateway;
  const object = new ApisixSsl(name, { admin, certificate, use: "client" });
  new RenewerGrant("apisix-upstream-renewer", { secret: certificate, gateway: identity }, opts);
  return { object, upstream: fate === "named" ? { clientCertificate: object.id } : {} };
}

/**
 * What becomes of the object, by the `caller` of the last outputs. Release 0.1 named no `identities`: pods of such a gateway may still
 * answer while they are replaced, and present a certificate only to upstreams that name it.
 */
export function fateOf(caller: Partial<GatewayCaller> | undefined): "none" | "named" | "kept while named" {
  if (caller?.clientCertificate === undefined) return "none";
  return caller.identities === undefined ? "named" : "kept while named";
}

/** Where the gateway cannot be asked, the object stays. */
async function namedByOthers(
  id: string,
  admin: AdminEndpoint,
  { cluster, own }: Pick<CallerCertificateArgs, "cluster" | "own">,
): Promise<boolean> {
  try {
    return (await livePresenters(id, admin, cluster)).some((object) => !own.includes(object));
  } catch (error) {
    const reason = (error as Error).message;
    await pulumi.log.info(`ssls/${id} stays, since the gateway cannot be asked who names it: ${reason}`);
    return true;
  }
}
