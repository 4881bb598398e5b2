// The check before an update: whether leaves that other namespaces have would be denied when they are renewed.

import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import type { OwnedHost } from "@mtls-everywhere/vocabulary/identities";
import * as pulumi from "@pulumi/pulumi";

import { limits } from "../components/approver.ts";
import { isServiceName, longestHours } from "../components/certificateLimitsPlan.ts";
import type { Generation } from "../components/generations.ts";
import { lastOutputs } from "../components/lastOutputs.ts";
import { issuerOf } from "../rotation/leaves.ts";
import { type CertificateObject, isCurrent, Lists } from "../rotation/lists.ts";
import type { Wanted } from "./live.ts";

/** The configuration that it depends on. */
interface Environment extends Pick<Wanted, "namespace" | "certManager"> {
  readonly gateway: { readonly hosts: readonly OwnedHost[] };
}

/** The trusted generations, as far as their leaves' names go. */
interface Trusted {
  readonly founder: string;
  readonly generations: readonly Pick<Generation, "name" | "trustDomain">[];
}

/**
 * Looks, where requests are limited, at what the platform's issuers have signed in other namespaces: a denied renewal shows only when the
 * leaf expires. With a line for each leaf, it refuses the update that brings the limits to a running platform; later ones only warn,
 * so that no other namespace can hold them up. What the caller may not read is skipped with a warning.
 * @throws RunError before anything is planned.
 */
export async function checkIssued(cluster: Cluster, env: Environment, trusted: Trusted): Promise<void> {
  if (!limits(env.certManager)) return;
  let certificates: readonly CertificateObject[];
  try {
    certificates = await new Lists(cluster.config).certificates();
  } catch (error) {
    await pulumi.log.warn(
      `Whether leaves in other namespaces could still be renewed was not checked: ${(error as Error).message}`,
    );
    return;
  }
  const lines = certificates.flatMap((certificate) => denialOf(certificate, env, trusted) ?? []);
  if (lines.length === 0) return;
  const last = await lastOutputs();
  const found = lines.map((line) => `  ${line}`).join("\n");
  const help = "List a host only if that namespace is to have it; docs/threat-model.md says who may have which leaf";
  if (last["admin"] === undefined || last["hosts"] !== undefined) {
    await pulumi.log.warn(`Leaves that other namespaces have will not be renewed:\n${found}\n${help}.`);
    return;
  }
  throw new pulumi.RunError(
    `This update limits who gets which leaf, and leaves that other namespaces have could not be renewed:\n${found}\n` +
      `Nothing was changed. ${help}, and certManager.approver.install: false puts the limits off.`,
  );
}

/** Why a leaf that was issued would be denied, as far as identity, usage, names and lifetime tell; undefined if it would not. */
export function denialOf(
  certificate: CertificateObject,
  { namespace: home, gateway }: Environment,
  { founder, generations }: Trusted,
): string | undefined {
  const { metadata, spec } = certificate;
  const { namespace, name } = metadata;
  const by = issuerOf({ namespace: home, founder }, certificate);
  const signer = generations.find((generation) => generation.name === by?.generation);
  // One that was never issued is nobody's loss.
  if (by === undefined || signer === undefined || namespace === home || !isCurrent(certificate)) return undefined;
  const problem = (text: string) => `Certificate ${namespace}/${name}: ${text}`;
  const identity = `spiffe://${signer.trustDomain}/ns/${namespace}/sa/`;
  const { uris = [], usages = [], dnsNames = [], duration = "" } = spec;
  if (uris.length === 0 || !uris.every((uri) => uri.startsWith(identity))) {
    return problem(
      `it must have the identity of a service account in its namespace. Set spec.uris to one such as ${identity}${name}.`,
    );
  }
  const roles = usages.filter((usage) => usage === "client auth" || usage === "server auth");
  if (roles.length !== 1) {
    return problem(`it must be for clients or for servers. Set spec.usages to one of "client auth" and "server auth".`);
  }
  const hours = Number(/^(\d+)h/.exec(duration)?.[1] ?? 0);
  if (duration === "" || hours > longestHours) {
    return problem(`it must name a lifetime of ${longestHours}h at most. Set spec.duration.`);
  }
  if (roles[0] === "client auth") return dnsNames.length > 0 ? problem("clients have no spec.dnsNames.") : undefined;
  const listed = (host: string) => gateway.hosts.some((own) => own.namespace === namespace && own.host === host);
  const denied = dnsNames.find((host) => !(by.plane === "edge" ? listed(host) : isServiceName(host, namespace)));
  if (denied === undefined) return undefined;
  return by.plane === "edge"
    ? problem(`gateway.hosts does not list "${namespace}/${denied}".`)
    : problem(`${denied} is not the name of a Service in its namespace, such as ${name}.${namespace}.svc.`);
}
