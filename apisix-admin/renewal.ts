// The renewer's part: what it writes when a Secret holds a newer leaf than the gateway serves, and when that is its job.

import { certificatesOf, digestOf, type KeyPair, neededBlocks, pairProblems } from "@mtls-everywhere/cluster-access";

import { type Body, labels } from "./body.ts";

/**
 * What is patched into an ssl object, and what seals it: a pod that is still terminating while the keyring rotates seals with
 * the former key. Never the clients' roots: those belong to `pulumi up`, which may be retiring one right now.
 */
export function renewedLeaf(pair: KeyPair, sealedBy: string): Body {
  const { cert, key } = neededBlocks(pair);
  return { cert, key, labels: { [labels.certificate]: digestOf(cert), [labels.sealed]: sealedBy } };
}

/**
 * Whether a renewer will bring the live object to the wanted certificate: it shows an earlier leaf of the same Secret, and
 * the Secret's own can serve. A leaf that has expired meanwhile was not renewed, so it is no longer left to a renewer.
 */
export function leftToRenewer(wanted: Body, live: Body, names: readonly string[], now = new Date()): boolean {
  const [then, next] = [leafOf(live), leafOf(wanted)];
  const its = labelsOf(live);
  return (
    then !== undefined &&
    next !== undefined &&
    its[labels.secret] !== undefined &&
    its[labels.secret] === labelsOf(wanted)[labels.secret] &&
    its[labels.certificate] === digestOf(String(live["cert"])) &&
    then.validFromDate <= next.validFromDate &&
    now < then.validToDate &&
    pairProblems({ cert: String(wanted["cert"]), key: String(wanted["key"]) }, names, now).length === 0
  );
}

function labelsOf(object: Body): Body {
  return (object["labels"] ?? {}) as Body;
}

function leafOf({ cert }: Body) {
  try {
    return certificatesOf(String(cert))[0];
  } catch {
    return undefined;
  }
}
