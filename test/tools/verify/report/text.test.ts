// The whole report, as people read it in a terminal.

import { equal } from "node:assert/strict";

import type { Hop } from "../../../../tools/verify/check.ts";
import { render } from "../../../../tools/verify/report/text.ts";
import type { Report } from "../../../../tools/verify/run.ts";

const leaf = {
  hop: "gateway",
  pod: "apisix-0",
  serial: "0A1B",
  root: "edge root",
  generation: "2026",
  notAfter: "2026-01-02T03:04:05Z",
} as const;

const edge = { hop: "gateway", case: "edge certificate", threat: "T1", expected: "200" } as const;
const noKey = { hop: "Admin API", case: "no key", threat: "T3", expected: "401 missing apikey" } as const;
const early = (hop: Hop) => ({
  ...{ hop, case: "not valid yet", threat: "T1", expected: "", observed: "", ok: true, ms: 0 },
  ...({ verdict: "not checked", why: "Nobody signs it." } as const),
});

const right: Report = {
  checks: [
    { ...edge, observed: "200", verdict: "right", ok: true, ms: 12 },
    { ...noKey, observed: "401 missing apikey", verdict: "right", ok: true, ms: 8 },
    early("gateway"),
    early("etcd"),
    { ...early("etcd"), case: "no name", why: "It does not matter there." },
  ],
  served: [
    { ...leaf, verdict: "right", remark: "" },
    { ...leaf, host: "shop.test", root: "shop root", verdict: "right", remark: "" },
  ],
  ok: true,
  body: '{ "hello": "world" }\n',
};

const reason = `failed: port-forward to mtls/apisix-0:9443: ${"connection refused ".repeat(5)}\nand so on`;
const wrong: Report = {
  checks: [
    { ...edge, observed: reason, verdict: "wrong", ok: false, ms: 12 },
    { ...noKey, observed: "200", verdict: "wrong", ok: false, ms: 8 },
  ],
  served: [
    { ...leaf, verdict: "warning", remark: "Secret mtls/gateway holds a newer one, valid from 2026-01-01T00:00:00Z." },
    { ...leaf, pod: "apisix-1", verdict: "wrong", remark: "It has expired." },
    {
      ...{ hop: "upstream", pod: "", serial: "", root: "", notAfter: "", verdict: "wrong" },
      remark: "No ready pod matches app=upstream in namespace mtls (0 found).",
    },
  ],
  ok: false,
  body: "",
};

describe("the report as text", () => {
  it("is two tables, why some lines were not checked, the gateway's answer and a verdict", () => {
    equal(
      render(right, "https://upstream/", { colour: false }),
      `Hop        Case              Threat  Expected            Observed
gateway    edge certificate  T1      200                 200                 ok
Admin API  no key            T3      401 missing apikey  401 missing apikey  ok
gateway    not valid yet     T1                                              not checked
etcd       not valid yet     T1                                              not checked
etcd       no name           T1                                              not checked

Not checked: not valid yet (gateway, etcd). Nobody signs it.
Not checked: no name (etcd). It does not matter there.

Served certificates
Hop                 Pod       Serial number  Root       Generation  Not after
gateway             apisix-0  0A1B           edge root  2026        2026-01-02T03:04:05Z  ok
gateway, shop.test  apisix-0  0A1B           shop root  2026        2026-01-02T03:04:05Z  ok

GET https://upstream/ with the edge client certificate
{ "hello": "world" }

2 checks, 2 served certificates, all right; 3 not checked
`,
    );
  });

  it("marks what is wrong, and gives long reasons in full below the table", () => {
    equal(
      render(wrong, "https://upstream/", { colour: false }),
      `Hop        Case              Threat  Expected            Observed
gateway    edge certificate  T1      200                 failed: port-forward to mtls/apisix-0:9443: connection re...  WRONG
Admin API  no key            T3      401 missing apikey  200                                                           WRONG

gateway, edge certificate: ${reason}

Served certificates
Hop       Pod       Serial number  Root       Generation  Not after
gateway   apisix-0  0A1B           edge root  2026        2026-01-02T03:04:05Z  warning
gateway   apisix-1  0A1B           edge root  2026        2026-01-02T03:04:05Z  WRONG
upstream                                                                        WRONG

gateway, apisix-0: Secret mtls/gateway holds a newer one, valid from 2026-01-01T00:00:00Z.
gateway, apisix-1: It has expired.
upstream: No ready pod matches app=upstream in namespace mtls (0 found).

GET https://upstream/ with the edge client certificate
(no answer)

2 checks, 3 served certificates, 4 WRONG
`,
    );
  });

  it("has colours if wanted", () => {
    equal(
      render(
        {
          ...right,
          checks: right.checks.slice(0, 1),
          served: [{ ...leaf, verdict: "warning", remark: "later" }],
        },
        "https://upstream/",
        { colour: true },
      ),
      `\x1b[1mHop      Case              Threat  Expected  Observed\x1b[0m
gateway  edge certificate  T1      200       200       \x1b[32mok\x1b[0m

Served certificates
\x1b[1mHop      Pod       Serial number  Root       Generation  Not after\x1b[0m
gateway  apisix-0  0A1B           edge root  2026        2026-01-02T03:04:05Z  \x1b[33mwarning\x1b[0m

gateway, apisix-0: later

GET https://upstream/ with the edge client certificate
{ "hello": "world" }

\x1b[32m1 check, 1 served certificate, all right\x1b[0m
`,
    );
  });
});
