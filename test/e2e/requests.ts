// Requests to the platform's issuers as anybody who may create Certificates makes them: whose are approved, and why others are not.

import "reflect-metadata";

import { webcrypto } from "node:crypto";
import { writeFileSync } from "node:fs";

import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from "@peculiar/x509";
import { stringify } from "yaml";

import { type Finished, inLabFolder, must, run } from "./ownLab.ts";

const trustDomain = "dev.mtls.internal";
/** Another team's namespace. */
export const tenant = "tenant";
/** Its host. */
export const host = "shop.example.com";

interface Request {
  readonly namespace: string;
  /** Of the leaf, beside what `leafOf` gives it. */
  readonly spec: object;
  /** Part of the sentence that denies it; undefined where it is approved. */
  readonly denied?: string;
}

const shared = (name: string) => ({ kind: "ClusterIssuer", name, group: "cert-manager.io" });
const own = (name: string) => ({ kind: "Issuer", name, group: "cert-manager.io" });
const idOf = (namespace: string, account: string) => `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;

/** A leaf of an account in a namespace, as `Certificate` asks for it. */
function leafOf(namespace: string, account: string, issuerRef: object, usage: string, dnsNames?: readonly string[]) {
  return {
    uris: [idOf(namespace, account)],
    usages: ["digital signature", usage],
    ...(dnsNames ? { dnsNames } : {}),
    commonName: account,
    subject: { organizations: [trustDomain], organizationalUnits: [namespace] },
    duration: "24h",
    issuerRef,
  };
}

const client = leafOf(tenant, "shop", shared("mtls-edge"), "client auth");
const server = leafOf(tenant, "shop", shared("mtls-upstream"), "server auth", ["shop", `shop.${tenant}.svc`]);
const site = (...hosts: string[]) => leafOf(tenant, "shop", shared("mtls-edge"), "server auth", hosts);
const ofTenant = (spec: object, denied?: string): Request => ({
  ...{ namespace: tenant, spec },
  ...(denied === undefined ? {} : { denied }),
});
const ofPlatform = (spec: object, denied: string): Request => ({ namespace: "mtls", spec, denied });
const notOwn = `must be spiffe://${trustDomain}/ns/<the request's own namespace>/sa/<service account>`;
const notListed = "must be a host that gateway.hosts gives to the request's own namespace";
const notDeclared = "namespace mtls gets only the leaves that the platform declares";

/** By the name of the Certificate. */
export const requests: Readonly<Record<string, Request>> = {
  "own-client": ofTenant(client),
  "own-site": ofTenant(site(host)),
  "own-service": ofTenant(server),
  "own-caller": ofTenant(leafOf(tenant, "shop", shared("mtls-upstream"), "client auth")),

  "another-namespace": ofTenant({ ...client, uris: [idOf("default", "shop")] }, notOwn),
  "another-trust-domain": ofTenant({ ...client, uris: [`spiffe://example.org/ns/${tenant}/sa/shop`] }, notOwn),
  "own-and-another": ofTenant({ ...client, uris: [...client.uris, idOf("mtls", "apisix")] }, notOwn),
  "longer-than-own": ofTenant({ ...client, uris: [`${idOf(tenant, "shop")}/ns/mtls/sa/apisix`] }, notOwn),
  "the-gateway": ofTenant(leafOf("mtls", "apisix", shared("mtls-upstream"), "client auth"), notOwn),
  "the-gateways-subject": ofTenant(
    { ...client, subject: { organizations: [trustDomain], organizationalUnits: ["mtls"] } },
    "must be the request's own namespace",
  ),
  "no-identity": ofTenant({ ...client, uris: undefined }, "spec.allowed.uris.required: Required value"),
  "client-and-server": ofTenant(
    { ...client, usages: ["client auth", "server auth"], dnsNames: ["shop.example.com"] },
    'usages: Invalid value: ["client auth","server auth"]',
  ),
  "an-authority": ofTenant({ ...client, isCA: true }, "spec.allowed.isCA: Invalid value: true"),
  "the-gateways-host": ofTenant(site("upstream"), notListed),
  "another-host": ofTenant(site("orders.example"), notListed),
  "own-and-another-host": ofTenant(site(host, "orders.example"), notListed),
  "hosts-below": ofTenant(site(`*.${host}`), notListed),
  "another-service": ofTenant(
    { ...server, dnsNames: ["upstream.mtls.svc"] },
    "must be the name of a Service in the request's own namespace",
  ),
  "for-ever": ofTenant({ ...client, duration: "87600h" }, "spec.constraints.maxDuration"),
  "an-address": ofTenant({ ...server, ipAddresses: ["10.0.0.1"] }, "spec.allowed.ipAddresses: Invalid value"),

  "undeclared-client": ofPlatform(leafOf("mtls", "intruder", shared("mtls-edge"), "client auth"), notDeclared),
  "undeclared-member": ofPlatform(leafOf("mtls", "intruder", own("etcd"), "client auth"), "spec.allowed.uris.values"),
  "root-of-etcd": ofPlatform(
    { ...leafOf("mtls", "apisix", own("etcd"), "client auth"), commonName: "root", subject: undefined },
    'spec.allowed.commonName: Invalid value: "root": no allowed value',
  ),
  "server-of-a-client": ofPlatform(
    leafOf("mtls", "deployer", own("admin"), "server auth", ["apisix-admin.mtls.svc"]),
    'spec.allowed.usages: Invalid value: ["digital signature","server auth"]',
  ),
  "as-if-a-check": ofPlatform(leafOf("mtls", "verify", own("etcd"), "client auth"), "not for Certificates"),
};

/** Asks for all of these, and for one of a third party's issuer, which nobody limits. */
export async function ask(): Promise<void> {
  await must("kubectl", ["create", "namespace", tenant]);
  const certificates = Object.entries(requests).map(([name, { namespace, spec }]) => ({
    ...{ apiVersion: "cert-manager.io/v1", kind: "Certificate", metadata: { name, namespace } },
    spec: { secretName: `tried-${name}`, ...spec },
  }));
  const thirdParty = {
    ...{ apiVersion: "cert-manager.io/v1", kind: "Issuer", metadata: { name: "etcd", namespace: tenant } },
    spec: { selfSigned: {} },
  };
  const ofThirdParty = {
    ...{ apiVersion: "cert-manager.io/v1", kind: "Certificate", metadata: { name: "not-ours", namespace: tenant } },
    spec: { secretName: "not-ours", dnsNames: ["upstream"], issuerRef: { name: "etcd" } },
  };
  const file = inLabFolder("requests.yaml");
  writeFileSync(file, [thirdParty, ofThirdParty, ...certificates].map((object) => stringify(object)).join("---\n"));
  await must("kubectl", ["apply", "-f", file]);
}

/** What the API server tells the namespace's own service account, which may do anything to requests there, but use no policy. */
export class Tenant {
  readonly #as: readonly string[];

  private constructor(as: readonly string[]) {
    this.#as = as;
  }

  /** An account with all rights to requests in its namespace, in which cert-manager's own checks of them are off. */
  static async create(): Promise<Tenant> {
    await must("kubectl", ["label", "namespace", tenant, "cert-manager.io/disable-validation=true"]);
    const all = ["", "/status"].map((part) => `--resource=certificaterequests.cert-manager.io${part}`);
    await must("kubectl", ["--namespace", tenant, "create", "role", "requests", "--verb=*", ...all]);
    const account = `--serviceaccount=${tenant}:default`;
    await must("kubectl", ["--namespace", tenant, "create", "rolebinding", "requests", "--role=requests", account]);
    return new Tenant([`--as=system:serviceaccount:${tenant}:default`]);
  }

  /** The administrator, who may use every policy. */
  static readonly administrator = new Tenant([]);

  /** Creates a request that is no Certificate's, for a client of the edge that is rightly the tenant's own. */
  async request(more: object): Promise<Finished> {
    const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const names = new SubjectAlternativeNameExtension([{ type: "url", value: idOf(tenant, "shop") }], true);
    const signed = await Pkcs10CertificateRequestGenerator.create({
      ...{ keys, signingAlgorithm: algorithm, extensions: [names] },
    });
    const request = Buffer.from(signed.toString("pem")).toString("base64");
    const file = inLabFolder("request.yaml");
    writeFileSync(
      file,
      stringify({
        ...{ apiVersion: "cert-manager.io/v1", kind: "CertificateRequest" },
        metadata: { name: "by-hand", namespace: tenant },
        spec: { request, usages: ["client auth"], duration: "1h", issuerRef: shared("mtls-edge"), ...more },
      }),
    );
    return this.#kubectl("create", "-f", file);
  }

  /** Writes the status of a Certificate's request. */
  async report(certificate: string, status: object): Promise<Finished> {
    return this.#patch(certificate, { status }, "--subresource=status");
  }

  /** Has another issuer sign a Certificate's request. */
  async redirect(certificate: string, issuerRef: object): Promise<Finished> {
    return this.#patch(certificate, { spec: { issuerRef } });
  }

  async #patch(certificate: string, change: object, ...flags: readonly string[]): Promise<Finished> {
    const found = (await requestObjects()).find(({ metadata }) => certificateOf(metadata) === certificate);
    const patch = ["--type=merge", "-p", JSON.stringify(change)];
    return this.#kubectl("patch", "certificaterequest", found?.metadata.name ?? "", ...flags, ...patch);
  }

  #kubectl(...args: string[]): Promise<Finished> {
    return run("kubectl", ["--namespace", tenant, ...this.#as, ...args]);
  }
}

/** The edge plane's issuer, as a request names it. */
export const edgeIssuer = shared("mtls-edge");

/** Who decided what about each request, by the Certificate's name: what is expected of `ask`. */
export const expected: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.entries(requests).map(([name, { denied }]) => [
      name,
      `${denied === undefined ? "Approved" : "Denied"} by policy.cert-manager.io`,
    ]),
  ),
  "not-ours": "Approved by cert-manager.io",
};

interface CertificateRequest {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly status?: { readonly conditions?: readonly Condition[] };
}

interface Condition {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

async function requestObjects(): Promise<readonly CertificateRequest[]> {
  const text = await must("kubectl", ["get", "certificaterequests", "--all-namespaces", "-o", "json"]);
  return (JSON.parse(text) as { items: readonly CertificateRequest[] }).items;
}

function certificateOf({ annotations = {} }: CertificateRequest["metadata"]): string {
  return annotations["cert-manager.io/certificate-name"] ?? "";
}

/** The decisions so far, and what they say, by the Certificate's name. */
export async function decisions() {
  return (await requestObjects()).flatMap(({ metadata, status }) => {
    const name = certificateOf(metadata);
    const decided = status?.conditions?.find(({ type }) => type === "Approved" || type === "Denied");
    return name in expected && decided !== undefined
      ? [{ name, decision: `${decided.type} by ${decided.reason}`, message: decided.message }]
      : [];
  });
}

/** Removes all of it. */
export async function withdraw(): Promise<void> {
  const names = Object.entries(requests).flatMap(([name, { namespace }]) => (namespace === tenant ? [] : [name]));
  await must("kubectl", ["--namespace", "mtls", "delete", "certificates", ...names]);
  await must("kubectl", ["delete", "namespace", tenant]);
}
