// Operators to the Admin API: it takes both certificate and key, and refuses either alone.

import { randomUUID } from "node:crypto";

import type { KeyPair } from "@mtls-everywhere/cluster-access";

import type { PlatformOutputs } from "../../../outputs.ts";
import type { PlatformAccess } from "../access.ts";
import type { Check, Outcome } from "../check.ts";
import { observe } from "../http.ts";
import type { Material } from "../material.ts";
import { sessionChecks } from "../sessions.ts";

export function adminChecks({ admin }: PlatformOutputs, material: Material, access: PlatformAccess): readonly Check[] {
  const requestWith = (key: string | undefined) => ({
    path: "/apisix/admin/routes",
    ...(key ? { headers: { "x-api-key": key } } : {}),
  });
  const check = (name: string, pair: KeyPair | undefined, key: string | undefined, expect: Outcome): Check => ({
    hop: "Admin API",
    case: name,
    expect: [expect],
    observe: (signal) =>
      observe(access, admin, { ca: material.roots.admin, ...(pair ? { pair } : {}) }, requestWith(key), signal),
  });
  const { adminClient, edge, adminKey } = material;
  return [
    check("admin certificate and key", adminClient, adminKey, { kind: "answer", status: 200 }),
    // This port completes the handshake and refuses with nginx's 400 pages, where the gateway sends alerts.
    check("key without certificate", undefined, adminKey, {
      kind: "answer",
      status: 400,
      words: "No required SSL certificate was sent",
    }),
    check("key with an edge certificate", edge, adminKey, {
      kind: "answer",
      status: 400,
      words: "The SSL certificate error",
    }),
    check("certificate with a wrong key", adminClient, randomUUID(), {
      kind: "answer",
      status: 401,
      words: "wrong apikey",
    }),
    check("certificate without key", adminClient, undefined, { kind: "answer", status: 401, words: "missing apikey" }),
    ...sessionChecks(access, {
      ...{ hop: "Admin API", to: admin, client: { ca: material.roots.admin, pair: adminClient } },
      request: requestWith(adminKey),
    }),
  ];
}
