// What a change may never do. A property that a preview does not know yet is judged by the update, which runs the same policies.

import { type ResourceValidationArgs, type ResourceValidationPolicy, UnknownValueError } from "@pulumi/policy";

import { readUrn } from "../urn.ts";
import { findPrivateKeys } from "./keySearch.ts";
import { houseBreaches, type PodSpec, restrictedBreaches } from "./podSecurity.ts";

/** The policies of the pack: each refuses a resource by what it was asked to be. */
export const policies: ResourceValidationPolicy[] = [
  policy(
    "no-private-keys",
    "Private keys stay out of Pulumi's state: only certificate authorities with state-held roots keep theirs there.",
    (args) =>
      isAuthoritysOwn(args)
        ? []
        : keyProperties(args).map(
            (path) =>
              `contains a private key in ${path}. Let cert-manager issue the certificate, and name its Secret instead.`,
          ),
  ),
  policy(
    "hardened-pods",
    "Pods meet the Pod Security Standard `restricted` and the platform's rules: probes, own service account, read-only root.",
    (args) => {
      const pod = podOf(args);
      const breaches = pod === undefined ? [] : [...restrictedBreaches(pod), ...houseBreaches(pod)];
      return breaches.length > 0 ? [`creates a pod that is not hardened: ${breaches.join("; ")}.`] : [];
    },
  ),
  policy(
    "routes-have-hosts",
    "A route names its hosts: without them it answers on every host, under another host's client policy.",
    ({ type, props }) => {
      const { hosts } = props as { hosts?: unknown };
      return isDynamic(type, "ApisixRoute") && !(Array.isArray(hosts) && hosts.length > 0)
        ? ["names no hosts. Set hosts to those that the gateway has a certificate for."]
        : [];
    },
  ),
  policy(
    "gateway-asks-clients",
    "The gateway asks its clients for certificates, unless a certificate is declared to be for anyone.",
    ({ type, props }) => {
      const { use, clients } = props as { use?: unknown; clients?: unknown };
      return isDynamic(type, "ApisixSsl") && use !== "client" && clients === undefined
        ? ['asks clients for no certificate. Set clients to { trust }, or to "anyone" if that is intended.']
        : [];
    },
  ),
  policy("no-wildcard-names", "A certificate names each of its hosts.", ({ type, props }) => {
    if (type !== "kubernetes:cert-manager.io/v1:Certificate") return [];
    const { commonName, dnsNames } = (props as { spec?: { commonName?: string; dnsNames?: string[] } }).spec ?? {};
    return [commonName ?? "", ...(dnsNames ?? [])]
      .filter((name) => name.includes("*"))
      .map((name) => `asks for a certificate for "${name}". Name each host instead.`);
  }),
];

/** `judge` returns what is wrong, each as the end of a sentence about the resource. */
function policy(
  name: string,
  description: string,
  judge: (args: ResourceValidationArgs) => readonly string[],
): ResourceValidationPolicy {
  return {
    name,
    description,
    validateResource: (args, reportViolation) => {
      for (const wrong of judge(args)) reportViolation(`${args.name} ${wrong}`);
    },
  };
}

/** Properties that hold a private key, in whatever encoding; each once. */
function keyProperties({ props }: ResourceValidationArgs): string[] {
  return [...new Set(findPrivateKeys(known(props)).map(({ path }) => path.replace(/ > .*$/, "")))];
}

/** The keys of state-held roots and their intermediates, in the kinds that make them and the Secret that cert-manager signs with. */
function isAuthoritysOwn({ type, urn }: ResourceValidationArgs): boolean {
  const [outermost, ...within] = readUrn(urn).types;
  return (
    outermost === "mtls:platform:CertificateAuthority" &&
    within.length > 0 &&
    (/^tls:/.test(type) || type === "kubernetes:core/v1:Secret")
  );
}

function isDynamic(type: string, name: string): boolean {
  return type === `pulumi-nodejs:dynamic/mtls:${name}`;
}

interface PodTemplate {
  readonly spec?: PodSpec;
}

/** The pod that a workload makes, or is. */
function podOf({ type, props }: ResourceValidationArgs): PodSpec | undefined {
  const [, kind] = /^kubernetes:(?:core|apps|batch)\/v1:(\w+)$/.exec(type) ?? [];
  switch (kind) {
    case "Pod":
      return (props as PodTemplate).spec;
    case "CronJob":
      return (props as { spec?: { jobTemplate?: { spec?: { template?: PodTemplate } } } }).spec?.jobTemplate?.spec
        ?.template?.spec;
    default:
      return (props as { spec?: { template?: PodTemplate } }).spec?.template?.spec;
  }
}

/** A copy without what is unknown: reading that would abort the policy before it has seen the rest. */
function known(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.keys(value).flatMap((key): [string, unknown][] => {
    try {
      return [[key, known((value as Record<string, unknown>)[key])]];
    } catch (error) {
      if (error instanceof UnknownValueError) return [];
      throw error;
    }
  });
  return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}
