// What the gateway's renewer writes when a Secret holds a newer leaf than the gateway serves.

import { type Body, labels } from "./body.ts";
import { digestOf, type KeyPair } from "./certificates.ts";

/** What is patched into an ssl object. Never the clients' roots: those are `pulumi up`'s, which may be retiring one just now. */
export function renewedLeaf({ cert, key }: KeyPair): Body {
  return { cert, key, labels: { [labels.certificate]: digestOf(cert) } };
}
