// A certificate in the gateway, taken from a Secret: one that it shows to clients (server), or one that it presents to upstreams (client).

import type { TlsProtocol } from "@mtls-everywhere/apisix-admin";
import type { AdminEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type { ConfigMapKeyRef, LeafRef } from "@mtls-everywhere/vocabulary/references";
import * as pulumi from "@pulumi/pulumi";

import { type AdminObjectArgs, identityOf, providerOf } from "../dynamicProvider.ts";

/** What both kinds of the gateway's certificates have. */
interface AnySslArgs extends AdminObjectArgs {
  /** The Secret that holds the leaf and its key. It is read when the resource is applied; neither enters the state. */
  readonly certificate: pulumi.Input<LeafRef>;
  /**
   * Protocols that the gateway speaks with this certificate.
   * @default the gateway's own list
   */
  readonly protocols?: pulumi.Input<pulumi.Input<TlsProtocol>[]>;
}

/** The certificate that the gateway shows to its clients. */
export interface ServerCertificateArgs extends AnySslArgs {
  /**
   * Towards clients.
   * @default `server`
   */
  readonly use?: "server";
  /** Names that select this certificate, which must cover each of them. */
  readonly snis: pulumi.Input<pulumi.Input<string>[]>;
  /** Whose certificates clients must present, or `anyone` for a listener without client certificates. */
  readonly clients: pulumi.Input<ClientTrust> | "anyone";
}

/** The certificate that the gateway presents to upstreams. */
export interface ClientCertificateArgs extends AnySslArgs {
  /** Towards upstreams. */
  readonly use: "client";
  /** None: an upstream names it by its id. */
  readonly snis?: undefined;
  /** None: it faces no clients. */
  readonly clients?: undefined;
}

/** One of the two, told apart by `use`. */
export type ApisixSslArgs = ServerCertificateArgs | ClientCertificateArgs;

/** Whose client certificates are accepted. */
export interface ClientTrust {
  /** Roots that client certificates must chain to. */
  readonly trust: pulumi.Input<ConfigMapKeyRef>;
  /**
   * Certificates allowed between leaf and root.
   * @default 1
   */
  readonly depth?: pulumi.Input<number>;
}

const provider = providerOf("ssls");

/**
 * A certificate in the gateway, taken from a Secret: one that it shows to clients, or one that it presents to upstreams. The gateway's
 * renewer copies a renewed Secret into it, where a {@link RenewerGrant} allows it.
 * @example
 * new ApisixSsl("site", { admin, certificate: leaf.secret, snis: ["api.example.com"], clients: { trust: platform.trust.edge } });
 */
export class ApisixSsl extends pulumi.dynamic.Resource {
  /** The Admin API that it is in. */
  declare readonly admin: pulumi.Output<AdminEndpoint>;
  /** Names that select it; none for `use: "client"`. */
  declare readonly snis: pulumi.Output<readonly string[] | undefined>;
  /** SHA-256 of the certificate in use, hex: for a leaf alone it is the usual fingerprint. */
  declare readonly digest: pulumi.Output<string>;
  /** When the certificate in use expires, ISO 8601. */
  declare readonly notAfter: pulumi.Output<string>;
  /** The object as the server holds it, with digests in place of certificates and without keys. */
  declare readonly live: pulumi.Output<Readonly<Record<string, unknown>>>;

  constructor(name: string, args: ApisixSslArgs, opts?: pulumi.CustomResourceOptions) {
    const { certificate, use, snis, clients, protocols } = args;
    super(
      provider,
      name,
      {
        ...identityOf(name, args, opts),
        certificate,
        use: use ?? "server",
        snis,
        clients,
        protocols,
        digest: undefined,
        notAfter: undefined,
        live: undefined,
      },
      opts,
      "mtls",
      "ApisixSsl",
    );
  }
}
