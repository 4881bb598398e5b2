// Which certificate requests approver-policy approves: what a leaf may say, and for whom, by issuer and namespace.

import { type OwnedHost, spiffeId } from "@mtls-everywhere/vocabulary/identities";
import type { Issuer, Plane } from "@mtls-everywhere/vocabulary/planes";

import { group, type LimitedIssuer, policies, quoted, requester } from "./approver.ts";

const apiVersion = `${policies.group}/${policies.version}`;
const kind = "CertificateRequestPolicy";

/** A policy as a resource: requests are judged by those that are ready. */
export function policyObject<Spec>(name: string, spec: Spec) {
  return {
    ...{ apiVersion, kind },
    metadata: { name, annotations: { "pulumi.com/waitFor": "condition=Ready" } },
    spec,
  };
}

interface PolicySpec {
  readonly allowed: object;
  readonly constraints?: object;
  readonly selector: { readonly issuerRef: object; readonly namespace?: { readonly matchNames: readonly string[] } };
}

/** A policy's name: cluster-wide, so it begins with the platform's namespace, which has no dot. */
export function policyName(namespace: string, ...parts: readonly string[]): string {
  return [namespace, ...parts].join(".");
}

/** What a leaf's Certificate asks for, as far as its requests carry it. */
export interface LeafRequest {
  readonly uris: readonly string[];
  readonly usages: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly commonName?: string;
  readonly subject?: { readonly organizations: readonly string[]; readonly organizationalUnits: readonly string[] };
  readonly duration: string;
  readonly issuerRef: Issuer;
}

/** The `spec` of a policy that allows one leaf as it is declared, in its own namespace, and nothing else. */
export function leafPolicy(leaf: LeafRequest, namespace: string): PolicySpec {
  const { uris, usages, dnsNames, commonName, subject, duration, issuerRef } = leaf;
  return {
    allowed: {
      uris: exactly(uris),
      usages: [...usages],
      ...(dnsNames ? { dnsNames: exactly(dnsNames) } : {}),
      ...(commonName === undefined ? {} : { commonName: { required: true, value: commonName } }),
      ...(subject
        ? {
            subject: {
              organizations: exactly(subject.organizations),
              organizationalUnits: exactly(subject.organizationalUnits),
            },
          }
        : {}),
    },
    constraints: { maxDuration: duration },
    selector: { issuerRef, namespace: { matchNames: [namespace] } },
  };
}

function exactly(values: readonly string[]) {
  return { required: true, values: [...values] };
}

/** A plane of one generation. */
export interface LimitedPlane {
  readonly plane: Plane;
  readonly issuer: LimitedIssuer;
  /** Its name in the names of policies. */
  readonly name: string;
  readonly trustDomain: string;
  /** The platform's namespace, whose leaves have policies of their own. */
  readonly namespace: string;
  /** Hosts that other namespaces serve on the edge plane. */
  readonly hosts: readonly OwnedHost[];
  readonly certManagerNamespace: string;
}

/**
 * The policies of a plane, besides those of the platform's own leaves. Each is for its issuer alone: approver-policy denies what
 * only policies match that do not allow it, whoever else would have approved it.
 */
export function planePolicies(plane: LimitedPlane) {
  return [...sharedPolicies(plane), checksPolicy(plane)];
}

/** What other namespaces may ask of a shared plane; whoever asks gets leaves of identities in that very namespace. */
function sharedPolicies(limited: LimitedPlane) {
  const { issuer, name, trustDomain, namespace } = limited;
  return rulesOf(limited).map(({ who, usage, dnsNames }) =>
    policyObject(policyName(namespace, name, who), {
      allowed: {
        uris: {
          required: true,
          validations: [
            {
              rule: `cr.namespace != ${quoted(namespace)}`,
              message: `namespace ${namespace} gets only the leaves that the platform declares`,
            },
            {
              rule: `self.matches(${quoted(`^spiffe://${literally(trustDomain)}/ns/`)} + cr.namespace + ${quoted("/sa/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")})`,
              message: `must be spiffe://${trustDomain}/ns/<the request's own namespace>/sa/<service account>`,
            },
          ],
        },
        usages: ["digital signature", "key encipherment", usage],
        ...(dnsNames ? { dnsNames: { required: true, validations: [dnsNames] } } : {}),
        commonName: {
          validations: [
            {
              rule: `self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')`,
              message: "must be the name of a service account",
            },
          ],
        },
        subject: {
          organizations: { values: [trustDomain] },
          organizationalUnits: {
            validations: [{ rule: "self == cr.namespace", message: "must be the request's own namespace" }],
          },
        },
      },
      // cert-manager's own default: no leaf survives its host's or its namespace's owner for long.
      constraints: { maxDuration: `${longestHours}h` },
      selector: { issuerRef: { kind: issuer.kind, name: issuer.name, group } },
    }),
  );
}

/** Hours of a leaf's life in other namespaces, at most; one that names no lifetime is denied. */
export const longestHours = 2_160;

interface Rule {
  readonly who: "clients" | "servers";
  readonly usage: "client auth" | "server auth";
  readonly dnsNames?: { readonly rule: string; readonly message: string };
}

/** No leaf is both: a server's would let it in as a client. */
function rulesOf({ plane, hosts }: LimitedPlane): readonly Rule[] {
  const clients: Rule = { who: "clients", usage: "client auth" };
  const servers = (rule: string, message: string): Rule => ({
    ...{ who: "servers", usage: "server auth", dnsNames: { rule, message } },
  });
  switch (plane) {
    case "edge": {
      const listed = hosts.map(({ namespace, host }) => quoted(`${namespace}/${host}`)).join(", ");
      return [
        clients,
        servers(
          `(cr.namespace + '/' + self) in [${listed}]`,
          "must be a host that gateway.hosts gives to the request's own namespace",
        ),
      ];
    }
    // Besides the gateway, an upstream answers the clients that its own list names.
    case "upstream":
      return [
        clients,
        servers(
          `self.matches('^${label}$') || self.matches('^${label}[.]' + cr.namespace + '$') || ` +
            `self.matches('^(${label}[.])+' + cr.namespace + '[.]svc([.]cluster[.]local)?$')`,
          "must be the name of a Service in the request's own namespace",
        ),
      ];
    case "admin":
    case "etcd":
    case "etcd-peer":
      return [];
  }
}

const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

/** What the policies of the upstream plane say of a name. */
export function isServiceName(name: string, namespace: string): boolean {
  return new RegExp(`^(${label}|${label}[.]${namespace}|(${label}[.])+${namespace}[.]svc([.]cluster[.]local)?)$`).test(
    name,
  );
}

/** A DNS name as part of a regular expression. */
function literally(name: string): string {
  return name.replaceAll(".", "[.]");
}

/** Service account that these leaves name, which no server knows, and prefix of the requests' names. */
const checksAccount = "verify";

/** For `verify`, which asks for leaves of an identity that no server knows, and of names that nobody has, by requests of its own. */
function checksPolicy({ issuer, name, trustDomain, namespace, certManagerNamespace }: LimitedPlane) {
  return policyObject(policyName(namespace, name, checksAccount), {
    allowed: {
      uris: {
        ...exactly([spiffeId({ trustDomain, namespace, serviceAccount: checksAccount })]),
        validations: [
          { rule: `cr.name.startsWith('${checksAccount}-')`, message: "only for the requests of verify" },
          { rule: `cr.username != ${quoted(requester(certManagerNamespace))}`, message: "not for Certificates" },
        ],
      },
      usages: ["digital signature", "client auth", "server auth"],
      dnsNames: { validations: [{ rule: "self.endsWith('.invalid')", message: "must be a name that nobody has" }] },
      commonName: { value: checksAccount },
      subject: { organizations: { values: [trustDomain] }, organizationalUnits: { values: [namespace] } },
    },
    constraints: { maxDuration: "60s" },
    selector: { issuerRef: { kind: issuer.kind, name: issuer.name, group }, namespace: { matchNames: [namespace] } },
  });
}
