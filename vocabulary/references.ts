// What the package is told about a cluster: where things are, never what they hold.

/** The pods behind one TLS port, reached by a port-forward through the API server. */
export interface PodPort {
  readonly namespace: string;
  /** Label selector, e.g. `app.kubernetes.io/name=apisix`. Any ready pod serves. */
  readonly selector: string;
  /** Port inside the pod; a listener on the pod's loopback is reached too. */
  readonly port: number;
  /** Name the server's certificate must carry: sent as SNI and verified. */
  readonly serverName: string;
}

/** The same port of one pod among them. */
export interface OnePodPort extends PodPort {
  /** The pod's name. Default: any that is ready. */
  readonly pod?: string;
}

/** A Secret of type `kubernetes.io/tls` that holds a leaf and its key. */
export interface SecretRef {
  readonly namespace: string;
  readonly name: string;
}

/** A leaf by the Secret that it is issued into. */
export interface LeafRef extends SecretRef {
  /** DNS names that the leaf is declared with: a preview knows them before it is issued anew. Default: what the Secret holds. */
  readonly dnsNames?: readonly string[];
}

/** One entry of an opaque Secret. */
export interface SecretKeyRef extends SecretRef {
  readonly key: string;
}

/** A ConfigMap entry that holds a trust bundle: one or more root certificates in PEM. */
export interface ConfigMapKeyRef {
  readonly namespace: string;
  readonly name: string;
  readonly key: string;
}

/** All that is needed to speak to one Admin API, by reference. Safe in state and in stack outputs. */
export interface AdminEndpoint extends PodPort {
  /** UID of the cluster's `kube-system` namespace: another cluster is refused. */
  readonly cluster: string;
  /** Roots that the server's certificate must chain to. */
  readonly trust: ConfigMapKeyRef;
  /** Client certificate of the admin plane. */
  readonly certificate: SecretRef;
  /** The Admin API key. */
  readonly key: SecretKeyRef;
  /** Whether the gateway's own renewer carries renewed Secrets into its server certificates. Default: it has none. */
  readonly renews?: boolean;
  /** Kind of the key of the leaf that the gateway presents to upstreams by itself. Default: it presents none. */
  readonly presents?: "ECDSA" | "RSA";
  /**
   * What the gateway now seals keys with, as objects' labels say it: another one is a difference, so that the next update
   * seals them anew. Absent in outputs of 0.1.0, whose objects carry no such label.
   */
  readonly sealedBy?: string;
}

/** All that is needed to administer one etcd's users over its JSON gateway, by reference. */
export interface EtcdEndpoint extends PodPort {
  readonly cluster: string;
  readonly trust: ConfigMapKeyRef;
  /** Client certificate of the etcd plane, with an empty subject (the JSON gateway refuses a CN). */
  readonly certificate: SecretRef;
}
