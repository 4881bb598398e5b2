// The life cycle of a set of public roots, read from Secrets at every diff. What was a root before stays one.

import { hasUnknown, type Props } from "@mtls-everywhere/apisix-admin/checks";
import {
  type Access,
  bundleProblems,
  certificatesOf,
  MissingObject,
  selfSigned,
  unlessMissing,
  until,
} from "@mtls-everywhere/cluster-access";
import type { SecretRef } from "@mtls-everywhere/vocabulary/references";

import type { Lifecycle } from "./lifecycle.ts";

export const rootCertificates: Lifecycle = {
  async check({ secrets }) {
    return Array.isArray(secrets) && secrets.length === 0
      ? [{ property: "secrets", reason: "Name at least one Secret." }]
      : [];
  },

  replaces: (_id, olds, news) =>
    hasUnknown(news["cluster"]) || olds["cluster"] === news["cluster"] ? [] : ["cluster"],

  async drift(olds, news, access) {
    try {
      return olds["pem"] === (await roots(news, access, olds["pem"])) ? [] : ["the roots have changed"];
    } catch (error) {
      if (error instanceof MissingObject) return [error.message];
      throw error;
    }
  },

  async apply(olds, news, access) {
    const first = (news["secrets"] as SecretRef[])[0]!;
    const pem = await issued(() => roots(news, access, olds?.["pem"]));
    return { id: `${first.namespace}/${first.name}`, outs: { pem } };
  },

  /** Never gone: recreated, it would forget the lost roots, and what they have signed is still in use. */
  async read(_id, props, access) {
    return { pem: (await unlessMissing(() => roots(props, access, props["pem"]))) ?? props["pem"] };
  },

  async remove() {},
};

/** Milliseconds that cert-manager may take to issue a Secret anew that somebody has deleted. */
const reissueTime = 10_000;

/** What is read of Secrets, a while after one was deleted too. */
async function issued<T>(read: () => Promise<T>): Promise<T> {
  // What is missing in the end says so itself.
  return (await until(() => unlessMissing(read), { within: reissueTime })) ?? read();
}

/**
 * The roots of all Secrets in PEM, each once, after those that were there before: a lost Secret is reissued with a new key, and what
 * the lost key signed is still in use. Throws for anything that cannot serve as a root.
 */
async function roots(inputs: Props, access: Access, before: unknown): Promise<string> {
  const { cluster, secrets } = inputs as unknown as { cluster: string; secrets: SecretRef[] };
  await access.expect(cluster);
  const lasting =
    typeof before === "string" ? certificatesOf(before).filter((root) => root.validToDate > new Date()) : [];
  const found = new Set(lasting.map((root) => root.toString()));
  for (const ref of secrets) {
    const pem = await rootOf(ref, access);
    const problems = bundleProblems(pem);
    if (problems.length > 0) throw new Error(`Secret ${ref.namespace}/${ref.name}: ${problems.join(" ")}`);
    for (const certificate of certificatesOf(pem)) found.add(certificate.toString());
  }
  return [...found].join("");
}

/** A leaf's `ca.crt` holds its root, unless it is an intermediate; a root's own Secret may have none. */
async function rootOf(ref: SecretRef, access: Access): Promise<string> {
  try {
    const ca = await access.secretValue({ ...ref, key: "ca.crt" });
    if (certificatesOf(ca).every(selfSigned)) return ca;
  } catch (error) {
    if (!(error instanceof MissingObject)) throw error;
  }
  return access.certificate(ref);
}
