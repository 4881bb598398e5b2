// The check before an update: whether leaves that other namespaces have would be denied when they are renewed.

import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import type { OwnedHost } from "@mtls-everywhere/vocabulary/identities";
import { sharedPlanes } from "@mtls-everywhere/vocabulary/planes";
import * as pulumi from "@pulumi/pulumi";

import type { Generation } from "../components/generations.ts";
import { issuerName } from "../components/issuerPlace.ts";
import { type CertificateObject, isCurrent, Lists } from "../rotation/lists.ts";
import { limits, type Wanted } from "./live.ts";

/** The configuration that it depends on. */
interface Environment extends Pick<Wanted, "namespace" | "certManager"> {
  readonly gateway: { readonly hosts: readonly OwnedHost[] };
}

/** A generation, as far as its leaves' names go. */
type Signing = Pick<Generation, "name" | "founder" | "trustDomain">;

/**
 * Looks, where requests are limited, at what the platform's issuers have signed in other namespaces: a denied renewal shows only when the
 * leaf expires. If the caller may not read it, it is skipped with a warning.
 * @throws RunError, before anything is planned, with a line for each leaf and what to do.
 */
export async function checkIssued(cluster: Cluster, env: Environment, generations: readonly Signing[]): Promise<void> {
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
  const lines = certificates.flatMap((certificate) => denialOf(certificate, env, generations) ?? []);
  if (lines.length === 0) return;
  throw new pulumi.RunError(
    `With this update, leaves that are in use could not be renewed:\n${lines.map((line) => `  ${line}`).join("\n")}\n` +
      "Nothing was changed. docs/threat-model.md says who may have which leaf; certManager.approver.install: false puts the limits off.",
  );
}

/** Why a leaf that was issued would be denied, and what to do, as far as its identity, usage and hosts tell; undefined if it would not. */
export function denialOf(
  certificate: CertificateObject,
  { namespace: home, gateway }: Environment,
  generations: readonly Signing[],
): string | undefined {
  const { metadata, spec } = certificate;
  const { namespace, name } = metadata;
  const signer = signerOf(certificate, home, generations);
  // One that is not issued is nobody's loss, and nobody can hold up an update with one.
  if (signer === undefined || namespace === home || !isCurrent(certificate)) return undefined;
  const what = `Certificate ${namespace}/${name}`;
  const identity = `spiffe://${signer.trustDomain}/ns/${namespace}/sa/`;
  const { uris = [], usages = [], dnsNames = [] } = spec;
  if (uris.length === 0 || !uris.every((uri) => uri.startsWith(identity))) {
    return `${what}: it must have the identity of a service account in its namespace. Set spec.uris to one such as ${identity}${name}.`;
  }
  const roles = usages.filter((usage) => usage === "client auth" || usage === "server auth");
  if (roles.length !== 1)
    return `${what}: it must be for clients or for servers. Set spec.usages to one of "client auth" and "server auth".`;
  if (signer.plane !== "edge" || roles[0] === "client auth") return undefined;
  const denied = dnsNames.find(
    (host) => !gateway.hosts.some((own) => own.namespace === namespace && own.host === host),
  );
  return denied && `${what}: add "${namespace}/${denied}" to gateway.hosts.`;
}

/** The plane and trust domain of the issuer in its place; undefined for others' issuers, and for those of the platform's namespace alone. */
function signerOf({ spec }: CertificateObject, home: string, generations: readonly Signing[]) {
  const { name, kind = "Issuer", group = "cert-manager.io" } = spec.issuerRef;
  if (kind !== "ClusterIssuer" || group !== "cert-manager.io") return undefined;
  return generations
    .flatMap((generation) => sharedPlanes.map((plane) => ({ plane, ...generation })))
    .find(({ plane, ...generation }) => issuerName(home, plane, generation).name === name);
}
