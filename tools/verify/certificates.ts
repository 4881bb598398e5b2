// Short-lived leaves for the checks, signed by cert-manager; their keys are generated here and never leave memory.

import "reflect-metadata";

import { KeyObject, randomBytes, webcrypto, X509Certificate } from "node:crypto";

import { CustomObjectsApi, type KubeConfig } from "@kubernetes/client-node";
import { type KeyPair, until } from "@mtls-everywhere/cluster-access";
import { reasonOf, saidBy, statusOf } from "@mtls-everywhere/cluster-access/cluster";
import { type Identity, spiffeId } from "@mtls-everywhere/vocabulary/identities";
import { type IssuerRef } from "@mtls-everywhere/vocabulary/planes";
import {
  type JsonGeneralName,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from "@peculiar/x509";

import { Uncheckable } from "./unchecked.ts";

/** A leaf to be signed. */
export interface LeafOrder {
  readonly issuer: IssuerRef;
  readonly identity: Identity;
  /** Whether the subject names the identity too; etcd would take a subject for a user, and refuse it. */
  readonly subject: boolean;
  readonly dnsNames: readonly string[];
  readonly usages: readonly ("client auth" | "server auth")[];
  /** Seconds. */
  readonly lifetime: number;
}

/** Issues leaves for the checks. */
export interface CertificateSource {
  /** @throws Uncheckable if somebody denies the request. */
  issue(order: LeafOrder, signal: AbortSignal): Promise<KeyPair>;
  /** Removes what issuing left behind. */
  remove(): Promise<void>;
}

/** Label of everything that the checks create temporarily. */
export const temporaryLabel = "mtls-everywhere.verify";
/** Age from which something with the label counts as left by a killed run, in milliseconds. */
export const leftoverAge = 10 * 60_000;

const resource = { group: "cert-manager.io", version: "v1", plural: "certificaterequests" };
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** Issues leaves through CertificateRequests, cert-manager's only path without a minimum lifetime. */
export class RequestedCertificates implements CertificateSource {
  readonly #api: CustomObjectsApi;
  readonly #namespace: string;
  readonly #signedWithin: number;
  /** By name of the request. */
  readonly #creations = new Map<string, Promise<unknown>>();

  /** `signedWithin` is in milliseconds: cert-manager needs less than one second. */
  constructor(config: KubeConfig, namespace: string, signedWithin = 10_000) {
    this.#signedWithin = signedWithin;
    this.#api = config.makeApiClient(CustomObjectsApi);
    this.#namespace = namespace;
  }

  async issue(order: LeafOrder, signal: AbortSignal): Promise<KeyPair> {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const request = await signingRequest(order, keys);
    const name = `verify-${order.issuer.plane}-${randomBytes(4).toString("hex")}`;
    const creation = this.#call("create", () =>
      this.#api.createNamespacedCustomObject({
        ...resource,
        namespace: this.#namespace,
        body: {
          apiVersion: `${resource.group}/${resource.version}`,
          kind: "CertificateRequest",
          metadata: { name, labels: { [temporaryLabel]: "true" } },
          spec: {
            request: Buffer.from(request).toString("base64"),
            duration: `${order.lifetime}s`,
            usages: ["digital signature", ...order.usages],
            issuerRef: { group: order.issuer.group, kind: order.issuer.kind, name: order.issuer.name },
          },
        },
      }),
    );
    this.#creations.set(name, creation);
    await creation;
    const key = KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" }) as string;
    return { cert: await this.#signed(name, order, signal), key };
  }

  async remove(): Promise<void> {
    // Requests in flight must land before they can be removed.
    const creations = await Promise.allSettled(this.#creations.values());
    const names = new Set([...this.#creations.keys()].filter((_, i) => creations[i]?.status === "fulfilled"));
    for (const leftover of await this.#call("list", () => this.#leftovers())) names.add(leftover);
    await Promise.all([...names].map((name) => this.#call("delete", () => this.#delete(name))));
  }

  async #signed(name: string, { issuer }: LeafOrder, signal: AbortSignal): Promise<string> {
    let last: Condition | undefined;
    const seen = await until(
      async () => {
        const { certificate, conditions = [] } = (await this.#read(name)).status ?? {};
        const is = (type: string, value: string) =>
          conditions.find((condition) => condition.type === type && condition.status === value);
        if (certificate && is("Ready", "True")) return certificate;
        const refused = is("Denied", "True") ?? is("InvalidRequest", "True") ?? failed(is("Ready", "False"));
        last = refused ?? is("Ready", "False") ?? is("Approved", "True");
        return refused;
      },
      { within: this.#signedWithin, pause: 150, signal },
    );
    if (typeof seen === "string") return Buffer.from(seen, "base64").toString("utf8");
    if (seen?.type === "Denied") {
      throw new Uncheckable(`A leaf of the ${issuer.plane} plane was denied: ${seen.message ?? "no reason is given"}`);
    }
    throw new Error(
      `${issuer.kind} ${issuer.name} did not sign a certificate for the checks` +
        `${seen ? "" : ` within ${this.#signedWithin / 1000} s`}: ${last?.message ?? "nothing has picked up the request; is cert-manager running?"} ` +
        `Look at: kubectl -n ${this.#namespace} describe ${issuer.kind.toLowerCase()} ${issuer.name}`,
    );
  }

  async #read(name: string): Promise<CertificateRequest> {
    const named = { ...resource, namespace: this.#namespace, name };
    const request: unknown = await this.#call("get", () => this.#api.getNamespacedCustomObject(named));
    return request as CertificateRequest;
  }

  async #leftovers(): Promise<string[]> {
    const list: unknown = await this.#api.listNamespacedCustomObject({
      ...resource,
      namespace: this.#namespace,
      labelSelector: temporaryLabel,
    });
    return (list as { items: CertificateRequest[] }).items
      .filter(({ metadata }) => Date.now() - Date.parse(metadata.creationTimestamp) > leftoverAge)
      .map(({ metadata }) => metadata.name);
  }

  async #delete(name: string): Promise<void> {
    try {
      await this.#api.deleteNamespacedCustomObject({ ...resource, namespace: this.#namespace, name });
    } catch (error) {
      if (statusOf(error) !== 404) throw error;
    }
  }

  async #call<T>(verb: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      const status = statusOf(error);
      if (status === 403) {
        throw new Error(
          `The checks request short-lived client certificates from cert-manager, which the kubeconfig's user may not: ${saidBy(error)}. ` +
            `Grant create, get, list and delete on certificaterequests.cert-manager.io in namespace ${this.#namespace}.`,
        );
      }
      if (status === 404) {
        throw new Error(
          `CertificateRequests cannot be used in namespace ${this.#namespace}: ${saidBy(error)}. Is cert-manager installed, and is the stack up?`,
        );
      }
      throw new Error(`CertificateRequest (${verb}) in namespace ${this.#namespace}: ${reasonOf(error)}`);
    }
  }
}

/** A leaf's total lifetime, in milliseconds. */
export function lifetimeOf(leaf: KeyPair): number {
  const { validFromDate, validToDate } = new X509Certificate(leaf.cert);
  return validToDate.getTime() - validFromDate.getTime();
}

interface CertificateRequest {
  readonly metadata: { readonly name: string; readonly creationTimestamp: string };
  readonly status?: { readonly certificate?: string; readonly conditions?: readonly Condition[] };
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

async function signingRequest(order: LeafOrder, keys: webcrypto.CryptoKeyPair): Promise<string> {
  const { identity } = order;
  const names: JsonGeneralName[] = [
    ...order.dnsNames.map((value) => ({ type: "dns" as const, value })),
    { type: "url", value: spiffeId(identity) },
  ];
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: algorithm,
    name: order.subject
      ? [{ O: [identity.trustDomain] }, { OU: [identity.namespace] }, { CN: [identity.serviceAccount] }]
      : [],
    extensions: [new SubjectAlternativeNameExtension(names, !order.subject)],
  });
  return request.toString("pem");
}

/** A request that is still waiting is `Ready=False` too; only these reasons are final. */
function failed(condition: Condition | undefined): Condition | undefined {
  return condition?.reason === "Failed" || condition?.reason === "Denied" ? condition : undefined;
}
