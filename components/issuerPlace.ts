// Where the objects of one generation of a plane's authority live, and what they are called.

import { type IssuerRef, type Plane, sharedPlanes } from "@mtls-everywhere/vocabulary/planes";
import type * as pulumi from "@pulumi/pulumi";

import type { Generation } from "./generations.ts";

/** Where a generation's issuer and its key live. */
export interface IssuerPlace {
  readonly kind: IssuerRef["kind"];
  /** Name of the issuer, and prefix of its other objects' names. */
  readonly prefix: string;
  /** Namespace of the issuer, where it has one. */
  readonly metadata: { readonly namespace?: string };
  /** Namespace of the Secret that it signs with. */
  readonly keyNamespace: string;
}

/** What an issuer signs with, and whom to trust for it. */
export interface SigningPair {
  readonly secretName: string;
  /** The root certificate in PEM. */
  readonly root: pulumi.Output<string>;
  /** Exists once the Secret does. */
  readonly ready: pulumi.Resource;
}

/** A generation, as far as names go. */
type Named = Pick<Generation, "name" | "founder">;

/** Where one generation's objects of a plane are. */
export function issuerPlace(
  args: { readonly plane: Plane; readonly namespace: string; readonly clusterResourceNamespace: string },
  generation: Named,
): IssuerPlace {
  const { kind, name: prefix } = issuerName(args.namespace, args.plane, generation);
  return kind === "ClusterIssuer"
    ? { kind, prefix, metadata: {}, keyNamespace: args.clusterResourceNamespace }
    : { kind, prefix, metadata: { namespace: args.namespace }, keyNamespace: args.namespace };
}

/** A shared plane's issuer is cluster-scoped: its name must not clash with another environment's on the same cluster. */
export function issuerName(
  namespace: string,
  plane: Plane,
  generation: Named,
): { readonly kind: IssuerRef["kind"]; readonly name: string } {
  return sharedPlanes.includes(plane)
    ? { kind: "ClusterIssuer", name: named(`${namespace}-${plane}`, generation) }
    : { kind: "Issuer", name: named(plane, generation) };
}

/** A name that tells generations apart; the first one's has no suffix, as before there were others. */
export function named(name: string, generation: Named): string {
  return generation.founder ? name : `${name}-${generation.name}`;
}

/** Common name of a root or an intermediate: two of the same name in a bundle would differ only in their key identifiers. */
export function commonName(plane: Plane, use: string, generation: Named): string {
  return generation.founder ? `${plane} ${use}` : `${plane} ${use} ${generation.name}`;
}
