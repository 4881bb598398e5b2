// Leaves that are not valid yet: cert-manager signs none, so the lab's own roots do, with their keys from the lab's cluster.

import { Cluster } from "../../cluster-access/cluster.ts";
import type { PlatformOutputs } from "../../outputs.ts";
import { classify, observedText } from "../../tools/verify/check.ts";
import { observe } from "../../tools/verify/http.ts";
import { requestFor, serversOf } from "../../tools/verify/matrix/servers.ts";
import type { Plane } from "../../vocabulary/planes.ts";
import { Authority } from "../support/authorities.ts";
import { must } from "./ownLab.ts";

const hour = 60 * 60_000;

/** What each server says to a leaf that begins in so many milliseconds, of its clients' plane and for nobody it knows. */
export async function saidToLeafThatBegins(begins: number, outputs: PlatformOutputs): Promise<Record<string, string>> {
  const cluster = new Cluster();
  const said = serversOf(outputs).map(async ({ hop, plane, at }) => {
    const authority = await signerOf(plane, outputs);
    // etcd would take a subject for a user.
    const subject = plane.startsWith("etcd") ? {} : { subject: "CN=verify" };
    const pair = await authority.leaf({ ...subject, uris: ["spiffe://lab/ns/lab/sa/verify"], begins, lifetime: hour });
    const request =
      hop === "gateway" ? requestFor(outputs.gateway.url) : { path: plane.startsWith("etcd") ? "/version" : "/" };
    const client = { ca: outputs.roots[plane], pair };
    const seen = await observe(cluster, at, client, request, AbortSignal.timeout(10_000)).catch(classify);
    return [hop, observedText(seen)] as const;
  });
  return Object.fromEntries(await Promise.all(said));
}

/** The authority that signs a plane's leaves, with the key in its issuer's Secret. */
async function signerOf(plane: Plane, { issuers, namespace }: PlatformOutputs): Promise<Authority> {
  const { kind, name } = issuers[plane];
  const secrets = ["-n", kind === "ClusterIssuer" ? "cert-manager" : namespace];
  const secret = await must("kubectl", [...secrets, "get", kind, name, "-o", "jsonpath={.spec.ca.secretName}"]);
  const { data } = JSON.parse(await must("kubectl", [...secrets, "get", "secret", secret, "-o", "json"])) as {
    readonly data: Readonly<Record<string, string>>;
  };
  const entry = (key: string) => Buffer.from(data[key] ?? "", "base64").toString();
  return Authority.of({ cert: entry("tls.crt"), key: entry("tls.key") });
}
