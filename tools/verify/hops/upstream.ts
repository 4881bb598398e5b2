// The upstream, bypassing the gateway: it answers APISIX's leaf and no other.

import type { KeyPair } from "@mtls-everywhere/cluster-access";

import type { PlatformOutputs } from "../../../outputs.ts";
import type { PlatformAccess } from "../access.ts";
import type { Check, Outcome } from "../check.ts";
import { observe } from "../http.ts";
import type { Material } from "../material.ts";
import { sessionChecks } from "../sessions.ts";

export function upstreamChecks(
  { upstream }: PlatformOutputs,
  material: Material,
  access: PlatformAccess,
): readonly Check[] {
  const check = (name: string, pair: KeyPair | undefined, expect: Outcome): Check => ({
    hop: "upstream",
    case: name,
    expect: [expect],
    observe: (signal) =>
      observe(access, upstream.pods, { ca: material.roots.upstream, ...(pair ? { pair } : {}) }, { path: "/" }, signal),
  });
  return [
    check("APISIX's leaf", material.apisixUpstream, { kind: "answer", status: 200 }),
    check("no certificate", undefined, {
      kind: "answer",
      status: 400,
      words: "No required SSL certificate was sent",
    }),
    check("edge certificate", material.edge, { kind: "answer", status: 400, words: "The SSL certificate error" }),
    check("upstream certificate of another identity", material.upstream, { kind: "answer", status: 403 }),
    ...sessionChecks(access, {
      ...{ hop: "upstream", to: upstream.pods, request: { path: "/" } },
      client: { ca: material.roots.upstream, pair: material.apisixUpstream },
    }),
  ];
}
