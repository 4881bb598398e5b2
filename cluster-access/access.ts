// How a cluster is reached: an interface, so that what builds on it also runs without Kubernetes.

import type { TLSSocket } from "node:tls";

import type { AdminEndpoint, EtcdEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type {
  ConfigMapKeyRef,
  OnePodPort,
  PodPort,
  SecretKeyRef,
  SecretRef,
} from "@mtls-everywhere/vocabulary/references";

import { certificatesOf, type KeyPair, pairProblems } from "./certificates.ts";
import { Unusable } from "./errors.ts";
import { type ClientTls, isUntrusted } from "./handshake.ts";
import type { Connect, TimeLimits } from "./transport.ts";

/** What is needed of a cluster; `Cluster` provides it. */
export interface Access {
  /** Throws `WrongCluster` when this is another cluster. */
  expect(cluster: string): Promise<void>;
  keyPair(ref: SecretRef): Promise<KeyPair>;
  secretValue(ref: SecretKeyRef): Promise<string>;
  certificate(ref: SecretRef): Promise<string>;
  trustBundle(ref: ConfigMapKeyRef): Promise<string>;
  /** What of these pods' makers is not there, in a sentence; undefined where all is. */
  missingOf(makers: Makers): Promise<string | undefined>;
  /** Deletes the Secret of a Certificate that is gone. */
  removeIssued(ref: SecretRef, certificate: string): Promise<void>;
  connect(to: OnePodPort, client: ClientTls, signal?: AbortSignal): Promise<TLSSocket>;
  /** Overrides of the default time limits. */
  readonly timeLimits?: { readonly changing?: TimeLimits; readonly reading?: TimeLimits };
}

/** Pods, by what makes them: a Deployment or StatefulSet that bears their label. */
export interface Makers extends Pick<PodPort, "namespace" | "selector"> {
  /**
   * Services by whose names they are found.
   * @default none: they are reached by a port-forward
   */
  readonly services?: readonly string[];
}

/** Changing something waits for a server that restarts. Reading, all that a preview does, waits less where nobody answers at all. */
export function timeLimitsOf({ timeLimits }: Access) {
  return {
    changing: { deadline: 60_000, ...timeLimits?.changing },
    reading: { deadline: 60_000, unanswered: 10_000, ...timeLimits?.reading },
  };
}

/** What to do when a server could not be reached in time. */
export function adviceFor({ namespace }: PodPort): string {
  return `When the pods are ready (kubectl -n ${namespace} get pods), run the same command again: it resumes from here.`;
}

/** Opens each connection with the credentials of that moment, so that renewed ones are used at once. */
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

/** Servers say only that a client certificate is bad, not why. */
function refuseUnusable({ namespace, name }: SecretRef, pair: KeyPair): void {
  // A clock that lags the cluster's must not refuse what was issued a moment ago.
  const now = new Date(Math.max(Date.now(), ...certificatesOf(pair.cert).map((part) => Number(part.validFromDate))));
  const problems = pairProblems(pair, [], now);
  if (problems.length === 0) return;
  throw new Unusable(
    `The client certificate in Secret ${namespace}/${name} cannot be used. ${problems.join(" ")} ` +
      `Check why cert-manager did not renew it: kubectl -n ${namespace} describe certificate ${name}`,
  );
}

/** Says why a server fails verification: OpenSSL names neither place nor remedy. Other errors are returned as they are. */
function distrusted(error: NodeJS.ErrnoException, { namespace, selector, port, serverName, trust }: Endpoint): Error {
  const bundle = `ConfigMap ${trust.namespace}/${trust.name}`;
  const { code = "" } = error;
  const fault = isUntrusted(error)
    ? `does not chain to a root in ${bundle}: another server answers there, or its authority has changed. Run pulumi up to bring bundle and server in line`
    : code === "CERT_HAS_EXPIRED"
      ? `has expired, or a root in ${bundle} has: check kubectl -n ${namespace} get certificates, and restart any pod that did not load its renewed certificate`
      : code === "ERR_TLS_CERT_ALTNAME_INVALID"
        ? `is not for "${serverName}": another server answers there`
        : undefined;
  if (fault === undefined) return error;
  const where = `port ${port} of pods ${selector} in namespace ${namespace}`;
  return Object.assign(new Error(`The certificate on ${where} ${fault}.`, { cause: error }), { code });
}

type Endpoint = AdminEndpoint | EtcdEndpoint;
