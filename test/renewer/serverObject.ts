// A server certificate as the life cycle puts it into the gateway.

import type { Body, KeyPair, SecretRef } from "../../apisix-admin/index.ts";
import { kinds } from "../../apisix-admin/kinds/registry.ts";

/** The body of an ssl object that takes `pair` from `certificate`; with `trust`, PEM roots, it asks for clients' certificates. */
export function serverObject(
  pair: KeyPair,
  certificate: SecretRef,
  snis: readonly string[],
  trust?: string,
): Promise<Body> {
  const inputs = {
    ...{ admin: { cluster: "uid" }, objectId: "site", owner: "mtls/dev/site" },
    ...{ use: "server", certificate, snis },
    clients: trust === undefined ? "anyone" : { trust: { namespace: "mtls", name: "edge-trust", key: "ca.crt" } },
  };
  return kinds.ssls.wanted(inputs).body("1a", {
    expect: async () => undefined,
    keyPair: async () => pair,
    trustBundle: async () => trust ?? "",
  });
}
