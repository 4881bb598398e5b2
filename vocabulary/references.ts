// Where things are in a cluster, never what they hold: schemas, and the types that follow from them.

import { z } from "zod";

const text = z.string();

/** A schema with the name of its type, which editors and docs/api.md show in place of all its fields. */
export const named = <T>(schema: z.ZodType<T>): z.ZodType<T> => schema;

/** Fields of every reference to an object. */
export const objectFields = { namespace: text, name: text };

/** Fields of every reference to one entry of an object. */
export const entryFields = { ...objectFields, key: text };

export const podPortFields = {
  /** The pods' namespace. */
  namespace: text,
  /** Label selector, e.g. `app.kubernetes.io/name=apisix`. Any ready pod serves. */
  selector: text,
  /** Port inside the pod; a listener on the pod's loopback is reached too. */
  port: z.number(),
  /** Name the server's certificate must carry: sent as SNI and verified. */
  serverName: text,
};
export const podPort = z.object(podPortFields).readonly();

/** The pods behind one TLS port, reached by a port-forward through the API server. */
export interface PodPort extends z.infer<typeof podPort> {}

/** The same port of one pod among them. */
export interface OnePodPort extends PodPort {
  /**
   * The pod's name.
   * @default any that is ready
   */
  readonly pod?: string;
}

export const secretRef = z.object(objectFields).readonly();

/** A Secret of type `kubernetes.io/tls` that holds a leaf and its key. */
export interface SecretRef extends z.infer<typeof secretRef> {}

export const leafFields = {
  ...objectFields,
  /**
   * DNS names that the leaf is declared with: a preview knows them before the leaf is reissued.
   * @default what the Secret holds
   */
  dnsNames: z.array(text).readonly().exactOptional(),
};
export const leafRef = z.object(leafFields).readonly();

/** A leaf by the Secret that it is issued into. */
export interface LeafRef extends z.infer<typeof leafRef> {}

export const secretKeyRef = z.object(entryFields).readonly();

/** One entry of an opaque Secret. */
export interface SecretKeyRef extends z.infer<typeof secretKeyRef> {}

export const configMapKeyRef = z.object(entryFields).readonly();

/** A ConfigMap entry that holds a trust bundle: one or more root certificates in PEM. */
export interface ConfigMapKeyRef extends z.infer<typeof configMapKeyRef> {}
