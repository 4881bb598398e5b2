// The check before an update: whether the certificate that the configuration names for the gateway can be served.

import { bundleProblems, certificatesOf, type KeyPair, pairProblems, rootOf } from "@mtls-everywhere/cluster-access";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import { MissingObject } from "@mtls-everywhere/cluster-access";
import { publicRoots } from "@mtls-everywhere/cluster-access/publicRoots";
import { planes } from "@mtls-everywhere/vocabulary/planes";
import * as pulumi from "@pulumi/pulumi";

import { issuerName } from "../components/issuerPlace.ts";
import { externalLeaf } from "../components/ownCertificate.ts";
import { type IssuerKey, type IssuerState, issuerState } from "./foreignIssuer.ts";

/** The configuration that it depends on. */
interface Environment {
  readonly namespace: string;
  readonly pki: { readonly root: { readonly active: string; readonly trusted: readonly string[] } };
  readonly gateway: {
    readonly host: string;
    readonly certificate?:
      | {
          readonly issuerRef?: IssuerKey | undefined;
          readonly secretName?: string | undefined;
          readonly roots?: string | undefined;
        }
      | undefined;
  };
}

/**
 * Looks at the issuer or the Secret that `gateway.certificate` names; the edge plane needs no check. What the caller may not read is
 * skipped with a warning.
 * @throws RunError, before anything is planned, with what is wrong and what to do.
 */
export async function checkGatewayCertificate(cluster: Cluster, env: Environment): Promise<void> {
  const { certificate } = env.gateway;
  if (certificate === undefined) return;
  const problems = await problemsOf(cluster, env, certificate).catch((error: Error) => {
    throw refusal([error.message]);
  });
  if (problems.length > 0) throw refusal(problems);
}

async function problemsOf(
  cluster: Cluster,
  env: Environment,
  { issuerRef, secretName = "", roots }: NonNullable<Environment["gateway"]["certificate"]>,
): Promise<string[]> {
  const doubts = roots === undefined ? [] : bundleProblems(roots).map((problem) => `roots: ${problem}`);
  if (issuerRef === undefined) {
    const pair = await pairIn(cluster, env.namespace, secretName);
    if (typeof pair === "string") return [...doubts, `secretName: ${pair}`];
    const faults = secretProblems(pair, env.gateway.host, roots);
    return [...doubts, ...faults.map((fault) => `secretName: Secret ${env.namespace}/${secretName}: ${fault}`)];
  }
  const own = ownIssuer(env, issuerRef);
  if (own !== undefined) return [...doubts, own];
  const state = await issuerState(cluster.config, issuerRef, env.namespace, externalLeaf);
  const { problem, warning } = issuerProblem(issuerRef, state, env.namespace);
  if (warning !== undefined) await pulumi.log.warn(warning);
  return [...doubts, ...(problem === undefined ? [] : [problem])];
}

/** The pair, or why there is none. */
async function pairIn(cluster: Cluster, namespace: string, name: string): Promise<KeyPair | string> {
  try {
    return await cluster.keyPair({ namespace, name });
  } catch (error) {
    if (!(error instanceof MissingObject)) throw error;
    return (
      `${error.what} Create it (kubectl -n ${namespace} create secret tls ${name} --cert=chain.pem --key=key.pem); ` +
      `if the stack has yet to create the namespace, run pulumi up without gateway.certificate first.`
    );
  }
}

/** What is wrong with a pair that is to be served under a host, each with what to do. */
export function secretProblems(pair: KeyPair, host: string, roots: string | undefined, now = new Date()): string[] {
  const problems = pairProblems(pair, [host], now);
  if (problems.length > 0) return problems.map((problem) => `${problem} Put a right one into the Secret.`);
  if (rootOf(certificatesOf(pair.cert), certificatesOf(roots ?? publicRoots())) !== undefined) return [];
  return [
    roots === undefined
      ? "The chain does not end at a public authority's root. Add the missing intermediates, or set gateway.certificate.roots to the root that clients trust it by."
      : "The chain does not end at a root in gateway.certificate.roots. Add the missing intermediates, or correct the roots.",
  ];
}

/** What an issuer's state means for a certificate. */
export function issuerProblem(
  { name, kind, group }: IssuerKey,
  state: IssuerState,
  namespace: string,
): { readonly problem?: string; readonly warning?: string } {
  const what = `${kind} ${name}`;
  const unset = "if cert-manager comes with this stack, run pulumi up without gateway.certificate first";
  switch (state) {
    case "ready":
      return {};
    case "unknown":
      return { warning: `The kubeconfig's user may not read ${what}: whether it can sign is not checked.` };
    case "no such kind":
      return {
        problem: `issuerRef: the cluster has no kind ${kind} of ${group}. Install its controller, or correct kind and group; ${unset}.`,
      };
    case "absent":
      return {
        problem: `issuerRef: ${what} does not exist. Create it (one that has a namespace, in ${namespace}), or correct the name.`,
      };
    default: {
      const why = `${what} is not ready: ${state.notReady.replace(/\.?$/, ".")}`;
      const more = `To see more: kubectl -n ${namespace} describe ${kind.toLowerCase()} ${name}`;
      return state.issued
        ? { warning: `${why} What it has issued is served until it expires. ${more}` }
        : { problem: `issuerRef: ${why} ${more}` };
    }
  }
}

/** Why it cannot be one of the platform's own issuers. */
function ownIssuer({ namespace, pki }: Environment, { kind, name, group }: IssuerKey): string | undefined {
  const { active, trusted } = pki.root;
  const generations = [...trusted.map((one) => ({ name: one, founder: false })), { name: active, founder: true }];
  const plane = planes.find((one) =>
    generations.map((each) => issuerName(namespace, one, each)).some((own) => own.kind === kind && own.name === name),
  );
  if (plane === undefined || group !== "cert-manager.io") return undefined;
  return (
    `issuerRef: ${kind} ${name} is the platform's own, of the ${plane} plane. ` +
    (plane === "edge"
      ? "Unset gateway.certificate: its leaves are the default."
      : "Name another: its leaves open other doors.")
  );
}

function refusal(problems: readonly string[]): pulumi.RunError {
  return new pulumi.RunError(
    `Stack ${pulumi.getStack()} cannot serve what gateway.certificate names:\n${problems.map((line) => `  ${line}`).join("\n")}\nNothing was changed.`,
  );
}
