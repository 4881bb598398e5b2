// What verify may have found, small and large, for the tests of its reports.

import { digestOf } from "../../cluster-access/certificates.ts";
import type { Result } from "../../tools/verify/judge.ts";
import type { Occasion } from "../../tools/verify/report/findings.ts";
import type { Report } from "../../tools/verify/run.ts";
import { Authority } from "./authorities.ts";
import { byPlane, platformOutputs } from "./outputs.ts";

const leaf = {
  serial: "0A1B",
  root: "edge root",
  generation: "2026",
  notAfter: "2026-11-28T04:00:00Z",
  verdict: "right",
  remark: "",
} as const;

/** One of each verdict, for checks and for served certificates. */
export const few: Report = {
  checks: [
    {
      hop: "gateway",
      case: "edge certificate",
      expected: "200",
      observed: "200",
      ok: true,
      ms: 12,
      threat: "T1",
      verdict: "right",
    },
    {
      hop: "gateway",
      case: "no certificate",
      expected: "alert certificate_required (116)",
      observed: "200",
      ok: false,
      ms: 1_500,
      threat: "T1",
      verdict: "wrong",
    },
    {
      hop: "etcd",
      case: "no certificate",
      expected: "alert certificate_required (116)",
      observed: "",
      ok: true,
      ms: 0,
      threat: "T5",
      verdict: "not checked",
      why: "nothing may sign it",
    },
  ],
  served: [
    { ...leaf, hop: "gateway", pod: "apisix-0" },
    { ...leaf, hop: "gateway", pod: "apisix-1", verdict: "warning", remark: "Secret mtls/gateway holds a newer one." },
    { ...leaf, hop: "etcd", pod: "", serial: "", root: "", notAfter: "", verdict: "wrong", remark: "No ready pod." },
  ],
  ok: false,
  body: '{ "hello": "world" }\n',
};

/** Text that would become markup if it were not escaped, break XML, or run. */
export const hostile = `</td><script>throw 1</script><img src=x onerror="throw 2">&amp;' ]]>\0\x1b[31m\ud800`;

const hops = ["gateway", "Admin API", "etcd", "etcd peers", "upstream", "gateway to upstream"] as const;
const kinds = [
  "right certificate",
  "no certificate",
  "expired certificate",
  "self-signed certificate",
  "server's certificate",
  "certificate of the admin plane",
  "certificate of another identity",
  "certificate without its intermediate",
  "certificate that is not valid yet",
  "certificate with a weak key",
  "name that is not served",
  "no name",
  "Host other than the name",
  "session of an earlier connection",
  "weak suite",
  "client that trusts the upstream plane's roots",
] as const;

/** More checks than fit on a screen: two of them wrong, neither first, and one with hostile text. */
export const many: Report = {
  checks: hops.flatMap((hop, at) =>
    (at < 2 ? ["TLS 1.3", "TLS 1.2"] : ["TLS 1.3"]).flatMap((version) =>
      kinds.map((kind, index): Result => {
        const expected = index === 0 ? "200" : "alert certificate_required (116)";
        const right = { hop, case: `${kind}, ${version}`, expected, ms: 7 * index, threat: `T${index + 1}` };
        if (hop === "etcd" && index === 2) return { ...right, observed: hostile, ok: false, verdict: "wrong" };
        if (hop === "upstream" && index === 5) return { ...right, observed: "200", ok: false, verdict: "wrong" };
        if (index === 9)
          return { ...right, observed: "", ok: true, verdict: "not checked", why: "the issuer refuses to sign it" };
        return { ...right, observed: expected, ok: true, verdict: "right" };
      }),
    ),
  ),
  served: hops.slice(0, 5).flatMap((hop) => [
    { ...leaf, hop, pod: `${hop.replaceAll(" ", "-").toLowerCase()}-6c9f7d-x2k4q` },
    { ...leaf, hop, pod: `${hop.replaceAll(" ", "-").toLowerCase()}-6c9f7d-zz81m`, notAfter: "2026-11-26T14:00:00Z" },
  ]),
  ok: false,
  body: '{ "hello": "world" }\n',
};

/** A run in the middle of a rotation, with two roots a plane. */
export async function occasion(): Promise<Occasion> {
  const [old, next] = [await Authority.create("old"), await Authority.create("next")];
  const outputs = platformOutputs({
    ...{ trustDomain: "dev.internal", host: "api.example.com", cluster: "6f9c2a1e-5b57-4a07-9d7c-3a1f0d6f2b11" },
    ...{ roots: byPlane(() => old.root + next.root), ids: { route: "hello" }, clients: ["curl", "backup"] },
  });
  const digests = { "2026": [digestOf(old.root)], "2027": [digestOf(next.root)] };
  return {
    stack: "dev",
    outputs: {
      ...outputs,
      generations: { active: "2026", trusted: ["2026", "2027"], founder: "2026", digests: byPlane(() => digests) },
    },
    start: new Date("2026-11-26T13:00:00Z"),
    ms: 9_400,
  };
}
