// A host of the gateway: the certificate that it shows, the clients that it lets in, and the services that its routes lead to.

import type { UpstreamEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type { Allow } from "@mtls-everywhere/vocabulary/identities";
import type { LeafRef } from "@mtls-everywhere/vocabulary/references";
import * as pulumi from "@pulumi/pulumi";

import { Certificate } from "./certificate.ts";
import type { PlaneAuthority } from "./certificateAuthority.ts";
import { ForeignCertificate, type ForeignCertificateArgs } from "./foreignCertificate.ts";
import { allowedBy, checkCallers } from "./gateway/allowed.ts";
import { ApisixRefusal } from "./gateway/apisixRefusal.ts";
import { ApisixRoute, type ApisixRouteArgs } from "./gateway/apisixRoute.ts";
import { ApisixSsl, type ServerCertificateArgs } from "./gateway/apisixSsl.ts";
import { ApisixUpstream, type ApisixUpstreamArgs } from "./gateway/apisixUpstream.ts";
import type { Gateway } from "./gateway.ts";
import { RenewerGrant } from "./renewerGrant.ts";

/** What every site has. */
export interface AnySite {
  /** The gateway that serves it: an `Apisix` of this stack, or `platform.apisix` of another. */
  readonly gateway: Pick<Gateway, "admin" | "identity" | "identities" | "plainHosts">;
  /** What clients ask for: the name in the certificate, their SNI and Host. */
  readonly host: string;
  /**
   * Who may call it: clients by the identity in their leaf, which is one that a `Certificate` makes, or `every client` that presents a
   * certificate which the site accepts. Others are answered with 403, at their next request after a change. An empty list is nobody.
   */
  readonly allow: Allow;
  /** Its routes by their ids in the Admin API. The upstream behind each has the same id. */
  readonly routes: Readonly<Record<string, SiteRoute>>;
}

/** A site whose leaf and clients are of the edge plane, unless others are given. */
export interface SiteOfEdgePlane extends AnySite {
  /** Signs the leaf, and the certificates of the clients that are let in. */
  readonly edge: PlaneAuthority<"edge">;
  /** Namespace of the leaf and its Secret. */
  readonly namespace: string;
  /**
   * Name of the leaf and its Secret.
   * @default the site's name
   */
  readonly leaf?: string;
  readonly issuer?: undefined;
  readonly certificate?: undefined;
  /** @default the edge plane's trust bundle */
  readonly clients?: ServerCertificateArgs["clients"];
}

/** A site with a certificate from an issuer that is not the platform's, such as a public authority's by ACME. */
export interface SiteOfIssuer extends AnySite, Pick<ForeignCertificateArgs, "issuer" | "namespace" | "algorithm"> {
  readonly edge?: undefined;
  readonly certificate?: undefined;
  /**
   * Name of the certificate and its Secret.
   * @default the site's name
   */
  readonly leaf?: string;
  /** Whose certificates clients must present, such as the edge plane's trust bundle, or `anyone`. */
  readonly clients: ServerCertificateArgs["clients"];
}

/** A site with a certificate of your own, which you renew: the gateway serves what its Secret holds, seconds after a change. */
export interface SiteWithCertificate extends AnySite {
  readonly edge?: undefined;
  readonly issuer?: undefined;
  /** The Secret that holds the certificate and its key. */
  readonly certificate: pulumi.Input<LeafRef>;
  /** Whose certificates clients must present, or `anyone`. */
  readonly clients: ServerCertificateArgs["clients"];
}

/** A host, and what is behind it: with a leaf of the edge plane, another issuer's, or a certificate of your own. */
export type SiteArgs = SiteOfEdgePlane | SiteOfIssuer | SiteWithCertificate;

/** A route, and the service that it leads to. */
export interface SiteRoute extends Omit<
  ApisixRouteArgs,
  "admin" | "id" | "adopt" | "hosts" | "uri" | "uris" | "upstream"
> {
  /**
   * Paths, or path prefixes ending in `*`.
   * @default ["/*"]
   */
  readonly uris?: ApisixRouteArgs["uris"];
  /** Where the service is, and the name in its certificate: an `NginxUpstream`'s `upstream`, or another's. */
  readonly service: pulumi.Input<Pick<UpstreamEndpoint, "node" | "serverName">>;
  /**
   * Who may call this route, in place of those who may call the site.
   * @default the site's
   */
  readonly allow?: Allow;
  /**
   * How the gateway treats the service: time limits, health checks and the like.
   * @default the gateway's own settings
   */
  readonly upstream?: Omit<ApisixUpstreamArgs, "admin" | "id" | "adopt" | "nodes" | "serverName">;
}

/**
 * What clients reach under one host, over mutual TLS.
 * @example
 * const shop = new NginxUpstream("shop", { ...args, authority: pki.upstream, gateway: apisix });
 * new Site("shop", {
 *   ...{ gateway: apisix, host: "shop.example.com", edge: pki.edge, namespace },
 *   allow: [{ namespace: "web", serviceAccount: "cart" }],
 *   routes: { shop: { service: shop.upstream } },
 * });
 * @throws RunError unless `allow` says who may call it, or when it lists clients while `clients` asks nobody for a certificate.
 */
export class Site extends pulumi.ComponentResource {
  /** The Secret of the certificate that it shows. */
  readonly certificate: pulumi.Output<LeafRef>;
  /** The routes as the Admin API holds them. */
  readonly routes: readonly Pick<ApisixRoute, "id" | "hosts" | "uris">[];

  constructor(name: string, args: SiteArgs, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:Site", name, {}, opts);
    // Before there were sites, these had no parent.
    const child = { parent: this, aliases: [{ parent: pulumi.rootStackResource }] };
    const { admin, identity, identities } = args.gateway;
    const trustDomains = identities.map(({ trustDomain }) => trustDomain);
    checkCallers(name, args);
    checkPlain(name, args);

    const leaf = args.certificate ? name : (args.leaf ?? name);
    this.certificate = certificateOf(leaf, args, child);
    // The gateway's renewer may read what the gateway shows, Secret by Secret.
    new RenewerGrant(`${leaf}-renewer`, { secret: this.certificate, gateway: identity }, child);

    const clients = args.edge ? (args.clients ?? { trust: args.edge.trust }) : args.clients;
    new ApisixSsl(name, { admin, certificate: this.certificate, snis: [args.host], clients }, child);
    this.routes = Object.entries(args.routes).map(([id, { service, upstream, uris = ["/*"], allow, ...more }]) => {
      const { node, serverName } = pulumi.output(service);
      const backend = new ApisixUpstream(id, { ...upstream, admin, nodes: [node], serverName }, child);
      const route = { ...more, admin, hosts: [args.host], uris, upstream: backend.id };
      const callers = allow ?? args.allow;
      if (callers === "every client") return new ApisixRoute(id, route, child);
      const others = new ApisixRefusal(`${id}-others`, route, { parent: this });
      const own = pulumi.output(more.vars ?? []);
      const vars = own.apply((conditions) => [...conditions, ...allowedBy(callers, trustDomains)]);
      return new ApisixRoute(id, { ...route, vars }, { ...child, dependsOn: others });
    });
    this.registerOutputs({ certificate: this.certificate });
  }
}

/** What a site shows: made here, or somebody else's. */
function certificateOf(name: string, args: SiteArgs, opts: pulumi.ComponentResourceOptions): pulumi.Output<LeafRef> {
  if (args.certificate) return pulumi.output(args.certificate);
  const { namespace } = args;
  const dnsNames = [args.host];
  if (args.issuer) {
    const { issuer, algorithm } = args;
    return new ForeignCertificate(name, { issuer, namespace, dnsNames, ...(algorithm && { algorithm }) }, opts).secret;
  }
  const { serviceAccount } = args.gateway.identity;
  const authority = args.edge;
  return new Certificate(name, { authority, namespace, serviceAccount, usages: ["server auth"], dnsNames }, opts)
    .secret;
}

/** @throws RunError when its routes would also answer clients that show no certificate. */
export function checkPlain(
  site: string,
  { host, clients, gateway }: Pick<SiteArgs, "host" | "clients"> & { readonly gateway: Pick<Gateway, "plainHosts"> },
): void {
  if (clients === "anyone" || !gateway.plainHosts?.includes(host)) return;
  throw new pulumi.RunError(
    `Site "${site}": the gateway serves ${host} without TLS too, where nobody shows a certificate. ` +
      'Take it off gateway.plainHttp.serve, or set clients to "anyone".',
  );
}
