// For other teams' stacks: the platform's outputs, read from its stack and checked, and what a service behind its gateway needs.

import type { IssuerRef } from "@mtls-everywhere/vocabulary/planes";
import * as pulumi from "@pulumi/pulumi";

import type { LeafAuthority } from "./components/certificate.ts";
import type { PlaneAuthority } from "./components/certificateAuthority.ts";
import type { Gateway } from "./components/gateway.ts";
import { TrustBundle } from "./components/trustBundle.ts";
import { outputNames, parseOutputs, type PlatformOutputs, refuseOldGateway } from "./outputs.ts";

/** A platform, as another stack sees it. */
export type Platform = PlatformOutputs & {
  /** Its gateway: the only caller of an `NginxUpstream`, and the place to create a `Site`. */
  readonly apisix: Gateway;
  readonly authorityFor: AuthorityFor;
};

/**
 * Lets a plane's issuer sign leaves in a namespace, and puts the plane's roots there as a trust bundle, ConfigMap `<plane>-trust`. Call it
 * once per namespace.
 * @example
 * const authority = platform.authorityFor("upstream", "shop", { provider, dependsOn: namespace });
 */
export type AuthorityFor = <P extends SharedPlane>(
  plane: P,
  namespace: string,
  opts?: pulumi.ComponentResourceOptions,
  leaves?: LeafSettings,
) => PlaneAuthority<P>;

/** Planes that issue leaves in any namespace. */
export type SharedPlane = "edge" | "upstream";

/** What an authority's leaves are like. */
export interface LeafSettings {
  /** @default "ECDSA-P256" */
  readonly algorithm?: LeafAuthority<SharedPlane>["algorithm"];
  /**
   * Lifetime, in whole hours; cert-manager renews after two thirds of it.
   * @default "24h"
   */
  readonly leafDuration?: string;
}

/**
 * The platform whose stack is `<organization>/<project>/<stack>`. Its outputs are known at preview too: they come from the stack's
 * state, as its last `pulumi up` left them.
 * @example
 * const platform = await readPlatform("organization/mtls-everywhere/prod");
 * @throws RunError when an output is missing or malformed, or comes from another version or release; it says what to do.
 */
export async function readPlatform(stack: string): Promise<Platform> {
  const reference = new pulumi.StackReference(stack);
  const entries = await Promise.all(
    outputNames().map(async (name) => [name, (await reference.getOutputDetails(name)).value] as const),
  );
  try {
    const outputs = Object.fromEntries(entries.filter(([, value]) => value !== undefined));
    return platformOf(refuseOldGateway(parseOutputs(outputs, stack), stack));
  } catch (error) {
    throw new pulumi.RunError(`The platform of stack ${stack} cannot be used.\n${(error as Error).message}`);
  }
}

/** The platform that these outputs describe. */
export function platformOf(outputs: PlatformOutputs): Platform {
  return { ...outputs, apisix: gatewayOf(outputs), authorityFor: authorityFor(outputs) };
}

function gatewayOf({ admin, caller, gateway, upstream }: PlatformOutputs): Gateway {
  const { identity, identities = [identity] } = caller;
  return {
    admin,
    pods: { name: identity.serviceAccount, namespace: gateway.namespace, selector: gateway.selector },
    identity,
    identities,
    plainHosts: gateway.plainHosts ?? [],
    upstreamCertificate: pulumi.output(upstream.clientCertificate),
  };
}

function authorityFor(outputs: PlatformOutputs): AuthorityFor {
  const issuers: { readonly [P in SharedPlane]: IssuerRef<P> } = outputs.issuers;
  return <P extends SharedPlane>(
    plane: P,
    namespace: string,
    opts?: pulumi.ComponentResourceOptions,
    { algorithm = "ECDSA-P256", leafDuration = "24h" }: LeafSettings = {},
  ) => {
    const roots = outputs.roots[plane];
    const { trust } = new TrustBundle(`${namespace}-${plane}-trust`, { plane, namespace, roots }, opts);
    return {
      plane,
      issuer: pulumi.output(undefined).apply((): IssuerRef<P> => issuers[plane]),
      trust,
      roots: pulumi.output(roots),
      trustDomain: outputs.trustDomain,
      algorithm,
      leafDuration,
      ...(plane === "edge" && outputs.hosts ? { hosts: outputs.hosts } : {}),
    };
  };
}
