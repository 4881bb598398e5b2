// The life cycle of a root's key that cert-manager keeps in a Secret: it is never read, and is deleted with its generation.

import { hasUnknown } from "@mtls-everywhere/apisix-admin/checks";
import type { SecretRef } from "@mtls-everywhere/vocabulary/references";

import type { Lifecycle } from "./lifecycle.ts";

export const rootKey: Lifecycle = {
  check: async () => [],
  replaces: (_id, olds, news) =>
    ["cluster", "secret"].filter(
      (name) => !hasUnknown(news[name]) && JSON.stringify(olds[name]) !== JSON.stringify(news[name]),
    ),
  drift: async () => [],
  async apply(_olds, news) {
    const { namespace, name } = news["secret"] as SecretRef;
    return { id: `${namespace}/${name}`, outs: {} };
  },
  read: async () => ({}),
  async remove(_id, props, access) {
    const { cluster, secret, certificate } = props as unknown as Inputs;
    await access.expect(cluster);
    await access.removeIssued(secret, certificate);
  },
};

interface Inputs {
  readonly cluster: string;
  readonly secret: SecretRef;
  /** Name of the Certificate, in the Secret's namespace. */
  readonly certificate: string;
}
