// How each server of the platform is reached and verified, and what to present to it: all by reference. Types follow from the schemas.

import { z } from "zod";

import { keyFamilies } from "./algorithms.ts";
import { type Identity, identity } from "./identities.ts";
import { leafOf, trustOf } from "./planes.ts";
import {
  type ConfigMapKeyRef,
  configMapKeyRef,
  named,
  objectFields,
  type PodPort,
  podPort,
  podPortFields,
  type SecretKeyRef,
  secretKeyRef,
  type SecretRef,
  secretRef,
} from "./references.ts";

const text = z.string();

/** What an endpoint's client needs. */
const clientFields = {
  ...podPortFields,
  /** UID of the cluster's `kube-system` namespace: another cluster is refused. */
  cluster: text,
  /** Roots that the server's certificate must chain to. */
  trust: named<ConfigMapKeyRef>(configMapKeyRef),
};

const etcdFields = {
  ...clientFields,
  /** Client certificate of the etcd plane, with an empty subject: the JSON gateway refuses a common name. */
  certificate: named<SecretRef>(secretRef),
};
export const etcdEndpoint = z.object(etcdFields).readonly();

/** All that is needed to administer one etcd's users over its JSON gateway. */
export interface EtcdEndpoint extends z.infer<typeof etcdEndpoint> {}

export const keepingEtcd = z
  .object({
    ...etcdFields,
    /** The Services by whose names the gateway finds it. */
    services: z.array(text).readonly(),
  })
  .readonly();

/** The etcd that a gateway keeps its objects in. */
export interface KeepingEtcd extends z.infer<typeof keepingEtcd> {}

export const adminEndpoint = z
  .object({
    ...clientFields,
    /** Client certificate of the admin plane. */
    certificate: named<SecretRef>(secretRef),
    /** The Admin API key. */
    key: named<SecretKeyRef>(secretKeyRef),
    /**
     * Whether the gateway's own renewer copies renewed Secrets into its server certificates.
     * @default it has no renewer
     */
    renews: z.boolean().exactOptional(),
    /**
     * Key type of the leaf that the gateway presents to upstreams by default.
     * @default it presents none
     */
    presents: z.enum(keyFamilies).exactOptional(),
    /**
     * What the gateway now seals keys with, as objects' labels name it. A different label is drift, so that the next update
     * reseals the object. Absent from outputs of 0.1.0, whose objects carry no such label.
     */
    sealedBy: text.exactOptional(),
    /**
     * Where the gateway keeps its objects: when that is gone, so are they.
     * @default not known
     */
    keptIn: named<KeepingEtcd>(keepingEtcd).exactOptional(),
  })
  .readonly();

/** Everything needed to talk to one Admin API. Safe in state and in stack outputs. */
export interface AdminEndpoint extends z.infer<typeof adminEndpoint> {}

export const storeEndpoint = z
  .object({
    ...etcdFields,
    /** URLs as APISIX dials them: every member of etcd, or the Service of a single one. */
    endpoints: z.array(text).readonly(),
    /** Names of its members, which are their pods' too. Since 0.2. */
    members: z.array(text).readonly().exactOptional(),
    /** The peer port: only members may speak there. */
    peer: named<PodPort>(podPort),
    /** The user that APISIX signs in as; it may access only keys under `prefix`. */
    user: text,
    password: named<SecretKeyRef>(secretKeyRef),
    prefix: text,
    /** What etcd's `root` user signs in with: for tools/etcd alone. Since 0.2. */
    administrator: z
      .object({ certificate: named<SecretRef>(secretRef), password: named<SecretKeyRef>(secretKeyRef) })
      .readonly()
      .exactOptional(),
  })
  .readonly();

/** APISIX's store, and the credentials that APISIX uses there. */
export interface StoreEndpoint extends z.infer<typeof storeEndpoint> {}

export const gatewayEndpoint = z
  .object({
    ...podPortFields,
    /** `https://<host>/`; the host is also the SNI that clients must send. */
    url: text,
    /** The cluster-internal Service in front of the gateway. */
    service: z.object({ ...objectFields, port: z.number() }).readonly(),
    /** Roots of the client certificates that it accepts, and of its own certificate unless `roots` says otherwise. */
    trust: trustOf("edge"),
    /**
     * Roots that verify its own certificate where that is not of the edge plane: in PEM, or `public` for those that clients trust
     * anyway. Since 0.2.
     * @default those of `trust`
     */
    roots: text.exactOptional(),
    /**
     * Hosts that it serves without TLS too, to every client. Since 0.2.
     * @default none
     */
    plainHosts: z.array(text).readonly().exactOptional(),
  })
  .readonly();

/** Where clients reach the platform. */
export interface GatewayEndpoint extends z.infer<typeof gatewayEndpoint> {}

export const upstreamEndpoint = z
  .object({
    /** Where APISIX dials it. */
    node: z.object({ host: text, port: z.number() }).readonly(),
    /** Name that the service's certificate carries and APISIX verifies. */
    serverName: text,
    /** Roots of its own certificate and of its callers'. */
    trust: trustOf("upstream"),
    /** The leaf that APISIX presents to it. */
    clientCertificate: leafOf("upstream"),
    /** The pods behind the node, for checks that bypass the gateway. */
    pods: named<PodPort>(podPort),
  })
  .readonly();

/** A service behind the gateway that verifies its caller. */
export interface UpstreamEndpoint extends z.infer<typeof upstreamEndpoint> {}

export const gatewayCaller = z
  .object({
    /**
     * Id of the `ApisixSsl` that release 0.1 presented. It exists only while an `ApisixUpstream` names it as its `clientCertificate`.
     * Name none: the gateway presents its leaf by default.
     */
    clientCertificate: text.exactOptional(),
    /** Who that certificate speaks for. */
    identity: named<Identity>(identity),
    /** All that it may speak for while generations of roots overlap, `identity` first: a service should answer only these. Since 0.2. */
    identities: z.array(named<Identity>(identity)).readonly().exactOptional(),
    /** Header in which it tells a service which client it has verified; one that a client sends never arrives. Since 0.2. */
    forwards: text.exactOptional(),
    /** RFC 9440's header, in which it passes on that client's certificate alone, as `:base64 of its DER:`. Since 0.2. */
    forwardsCertificate: text.exactOptional(),
  })
  .readonly();

/** Who the gateway is to the services behind it. */
export interface GatewayCaller extends z.infer<typeof gatewayCaller> {}
