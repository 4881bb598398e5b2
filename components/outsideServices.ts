// What is outside the platform: services with other people's certificates, and what must hold before a request may go there.

import { isIP } from "node:net";

import { bundleProblems } from "@mtls-everywhere/cluster-access";
import type { Plane } from "@mtls-everywhere/vocabulary/planes";
import type { LeafRef } from "@mtls-everywhere/vocabulary/references";
import * as pulumi from "@pulumi/pulumi";

/** The Secret with a certificate for others, and its key: no leaf of the platform, whose references name their plane. */
export interface ForeignLeafRef extends LeafRef {
  readonly plane?: undefined;
}

/** An HTTPS service outside the platform. */
export interface OutsideService {
  /** Its full name: it is looked up, sent as SNI and Host, and verified in the service's certificate. */
  readonly host: string;
  /**
   * Its port.
   * @default 443
   */
  readonly port?: number;
  /** The authorities that its certificate must chain to, in PEM. They count for this service alone, and nobody else does. */
  readonly roots: string;
  /**
   * What it is shown if it asks for a certificate: a Secret in the proxy's namespace. A renewed one is shown from the next request on.
   * @default none
   */
  readonly clientCertificate?: pulumi.Input<ForeignLeafRef>;
  /**
   * Networks of its addresses, such as `203.0.113.0/24`: the proxy's pods may connect to nothing else on its port.
   * @default any address
   */
  readonly cidrs?: readonly string[];
}

/** Services outside, each by the name that it is to have here. */
export type OutsideServices<Name extends string = string> = Readonly<Record<Name, OutsideService>>;

/** Where a service listens. */
export function portOf({ port = 443 }: Pick<OutsideService, "port">): number {
  return port;
}

/** Networks of a service. */
export function networksOf({ cidrs = ["0.0.0.0/0", "::/0"] }: Pick<OutsideService, "cidrs">): readonly string[] {
  return cidrs;
}

/** Label of a DNS name, short enough to be part of a volume's name. */
const isLabel = (name: string) => /^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$/.test(name);

/** A name that needs no search list; `.svc` does. */
function isFullName(host: unknown): host is string {
  if (typeof host !== "string") return false;
  const labels = host.split(".");
  const wellFormed = labels.every((label) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/i.test(label));
  return wellFormed && labels.length > 1 && host.length < 254 && isIP(host) === 0 && labels.at(-1) !== "svc";
}

function isNetwork(cidr: string): boolean {
  const [address = "", bits = "", ...more] = cidr.split("/");
  const family = isIP(address);
  const isPrefix = /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
  return family !== 0 && isPrefix && more.length === 0;
}

/**
 * Programs run without a check of their types.
 * @throws RunError when a request to a service could not succeed, or could go astray.
 */
export function checkServices(proxy: string, services: OutsideServices): void {
  const refuse = (where: string, why: string): never => {
    throw new pulumi.RunError(`EgressProxy "${proxy}"${where}: ${why}`);
  };
  const named = Object.entries(services);
  if (named.length === 0) refuse("", "it has no service to forward to. Name at least one, or remove it.");
  for (const [name, service] of named) {
    const where = `, service "${name}"`;
    if (!isLabel(name)) {
      refuse(
        where,
        'its name becomes part of a host name. Use up to 40 lower-case letters, digits and hyphens, such as "payments".',
      );
    }
    if (!isFullName(service.host)) {
      refuse(
        where,
        `${JSON.stringify(service.host)} is not the full name of a host, as the service's certificate has it. ` +
          'Give it without scheme, port or path, such as "api.example.com"; a Service of this cluster ends with the cluster\'s domain.',
      );
    }
    const port = portOf(service);
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      refuse(where, `a port must be from 1 to 65535, not ${JSON.stringify(port)}.`);
    }
    const problems = bundleProblems(service.roots);
    if (problems.length > 0) {
      refuse(
        where,
        `its roots cannot be trusted. ${problems.join(" ")} Give the certificates of its authorities in PEM.`,
      );
    }
    const networks = networksOf(service);
    if (networks.length === 0 || !networks.every(isNetwork)) {
      refuse(
        where,
        `its cidrs are ${JSON.stringify(networks)}. Give networks such as "203.0.113.0/24", or leave them out for any address.`,
      );
    }
  }
}

/**
 * The Secret, for a pod to mount.
 * @throws RunError when the proxy could not mount it, or others would see a leaf of the platform.
 */
export function clientSecret(
  proxy: string,
  namespace: string,
  service: string,
  ref: LeafRef & { readonly plane?: Plane | undefined },
): { readonly name: string } {
  const where = `EgressProxy "${proxy}", service "${service}": `;
  const name = `${ref.namespace}/${ref.name}`;
  if (ref.plane !== undefined) {
    throw new pulumi.RunError(
      `${where}Secret ${name} holds a leaf of the ${ref.plane} plane, which opens doors of this platform and is shown to nobody outside. ` +
        "Give a certificate that is for this service alone.",
    );
  }
  if (ref.namespace !== namespace) {
    throw new pulumi.RunError(
      `${where}Secret ${name} cannot be mounted in namespace ${namespace}. Issue the certificate there, or run the proxy in ${ref.namespace}.`,
    );
  }
  return { name: ref.name };
}
