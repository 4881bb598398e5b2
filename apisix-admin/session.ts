// How the life cycle reaches a cluster and its Admin API: by an interface, so that it also runs without Kubernetes.

import type { TLSSocket } from "node:tls";

import { certificatesOf, type KeyPair, pairProblems } from "./certificates.ts";
import { AdminClient } from "./client.ts";
import { Unusable } from "./errors.ts";
import { type ClientTls, isUntrusted } from "./handshake.ts";
import type {
  AdminEndpoint,
  ConfigMapKeyRef,
  EtcdEndpoint,
  OnePodPort,
  PodPort,
  SecretKeyRef,
  SecretRef,
} from "./references.ts";
import type { Connect, Patience } from "./transport.ts";

/** What is needed of a cluster; `Cluster` provides it. */
export interface Access {
  /** Throws `WrongCluster` when this is another cluster. */
  expect(cluster: string): Promise<void>;
  keyPair(ref: SecretRef): Promise<KeyPair>;
  secretValue(ref: SecretKeyRef): Promise<string>;
  certificate(ref: SecretRef): Promise<string>;
  trustBundle(ref: ConfigMapKeyRef): Promise<string>;
  /** Deletes the Secret of a Certificate that is gone. */
  removeIssued(ref: SecretRef, certificate: string): Promise<void>;
  connect(to: OnePodPort, client: ClientTls, signal?: AbortSignal): Promise<TLSSocket>;
  /** Other limits than the usual ones. */
  readonly patience?: { readonly acting?: Patience; readonly looking?: Patience };
}

/** Changing something waits for a server that restarts. Looking, all that a preview does, waits less where nobody answers at all. */
export function patienceOf({ patience }: Access) {
  return {
    acting: { deadline: 60_000, ...patience?.acting },
    looking: { deadline: 60_000, silence: 10_000, ...patience?.looking },
  };
}

/** What to do when a server could not be reached in time. */
export function adviceFor({ namespace }: PodPort): string {
  return `When the pods are ready (kubectl -n ${namespace} get pods), run the same command again: it goes on from here.`;
}

/** Opens connections with the credentials as they are at that moment, so that renewed ones are used at once. */
export function connectTo(access: Access, endpoint: Endpoint): Connect {
  return async (signal) => {
    const [ca, pair] = await Promise.all([access.trustBundle(endpoint.trust), access.keyPair(endpoint.certificate)]);
    refuseUnusable(endpoint.certificate, pair);
    try {
      return await access.connect(endpoint, { ca, pair }, signal);
    } catch (error) {
      throw distrusted(error as NodeJS.ErrnoException, endpoint);
    }
  };
}

/** Servers say no more of a bad client certificate than that it is one. */
function refuseUnusable({ namespace, name }: SecretRef, pair: KeyPair): void {
  // A clock behind the cluster's must not refuse what was issued a moment ago.
  const now = new Date(Math.max(Date.now(), ...certificatesOf(pair.cert).map((part) => Number(part.validFromDate))));
  const problems = pairProblems(pair, [], now);
  if (problems.length === 0) return;
  throw new Unusable(
    `The client certificate in Secret ${namespace}/${name} cannot be used. ${problems.join(" ")} ` +
      `See why cert-manager did not renew it: kubectl -n ${namespace} describe certificate ${name}`,
  );
}

/** A server that fails verification, in words: OpenSSL's own name neither place nor remedy. Other errors as they are. */
function distrusted(error: NodeJS.ErrnoException, { namespace, selector, port, serverName, trust }: Endpoint): Error {
  const bundle = `ConfigMap ${trust.namespace}/${trust.name}`;
  const { code = "" } = error;
  const fault = isUntrusted(error)
    ? `does not chain to a root in ${bundle}: another server answers there, or its authority has changed. Run pulumi up, so that bundle and server agree`
    : code === "CERT_HAS_EXPIRED"
      ? `has expired, or a root in ${bundle} has: look at kubectl -n ${namespace} get certificates, and restart a pod that did not load its renewed one`
      : code === "ERR_TLS_CERT_ALTNAME_INVALID"
        ? `is not for "${serverName}": another server answers there`
        : undefined;
  if (fault === undefined) return error;
  const where = `port ${port} of the pods ${selector} in namespace ${namespace}`;
  return Object.assign(new Error(`The certificate of ${where} ${fault}.`, { cause: error }), { code });
}

type Endpoint = AdminEndpoint | EtcdEndpoint;

/** A client of the endpoint; there is one per process and endpoint. Refuses another cluster. */
export function adminClient(access: Access, endpoint: AdminEndpoint): Promise<AdminClient> {
  const sessions = sessionsOf(access);
  const name = JSON.stringify(endpoint);
  let session = sessions.get(name);
  if (!session) {
    session = open(access, endpoint);
    sessions.set(name, session);
    session.catch(() => sessions.delete(name));
  }
  return session;
}

/** Closes the connections of an access; a provider's process ends instead. */
export async function closeSessions(access: Access): Promise<void> {
  for (const session of sessionsOf(access).values()) (await session).close();
  opened.delete(access);
}

const opened = new WeakMap<Access, Map<string, Promise<AdminClient>>>();

function sessionsOf(access: Access): Map<string, Promise<AdminClient>> {
  const sessions = opened.get(access) ?? new Map<string, Promise<AdminClient>>();
  opened.set(access, sessions);
  return sessions;
}

async function open(access: Access, endpoint: AdminEndpoint): Promise<AdminClient> {
  await access.expect(endpoint.cluster);
  const key = await access.secretValue(endpoint.key);
  refuseUnusableKey(endpoint.key, key);
  return new AdminClient({
    ...patienceOf(access).acting,
    connect: connectTo(access, endpoint),
    key,
    host: endpoint.serverName,
    advice: adviceFor(endpoint),
  });
}

/** APISIX fills its config.yaml with the key, and YAML's numbers never equal a header. */
function refuseUnusableKey({ namespace, name, key: entry }: SecretKeyRef, key: string): void {
  const where = `The Admin API key in Secret ${namespace}/${name}, entry "${entry}",`;
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new Unusable(
      `${where} holds a space, a line break or a character beyond ASCII, which no header carries.${remedy}`,
    );
  }
  if (!/[a-zA-Z]/.test(key) || !Number.isNaN(Number(key))) {
    throw new Unusable(`${where} reads as a number, and APISIX then answers 401 to everyone.${remedy}`);
  }
}

const remedy = " Put one of letters and digits there, and restart the gateway's pods.";
