// The report as people read it, whole.

import { equal } from "node:assert/strict";

import { render } from "../../verify/report.ts";
import type { Report } from "../../verify/run.ts";

const right: Report = {
  checks: [
    { hop: "gateway", case: "edge certificate", expected: "200", observed: "200", ok: true, ms: 12 },
    {
      hop: "Admin API",
      case: "no key",
      expected: "401 missing apikey",
      observed: "401 missing apikey",
      ok: true,
      ms: 8,
    },
  ],
  ok: true,
  body: '{ "hello": "world" }\n',
};

const reason = `failed: port-forward to mtls/apisix-0:9443: ${"connection refused ".repeat(5)}\nand so on`;
const wrong: Report = {
  checks: [
    { hop: "gateway", case: "edge certificate", expected: "200", observed: reason, ok: false, ms: 12 },
    { hop: "Admin API", case: "no key", expected: "401 missing apikey", observed: "200", ok: false, ms: 8 },
  ],
  ok: false,
  body: "",
};

describe("the report", () => {
  it("is a table, the closing scene and a verdict", () => {
    equal(
      render(right, "https://upstream/", { colour: false }),
      `Hop        Case              Expected            Observed
gateway    edge certificate  200                 200                 ok
Admin API  no key            401 missing apikey  401 missing apikey  ok

GET https://upstream/ with the edge client certificate
{ "hello": "world" }

2 checks, all right
`,
    );
  });

  it("marks what is wrong, and tells a long reason in full below the table", () => {
    equal(
      render(wrong, "https://upstream/", { colour: false }),
      `Hop        Case              Expected            Observed
gateway    edge certificate  200                 failed: port-forward to mtls/apisix-0:9443: connection re...  WRONG
Admin API  no key            401 missing apikey  200                                                           WRONG

gateway, edge certificate: ${reason}

GET https://upstream/ with the edge client certificate
(no answer)

2 checks, 2 WRONG
`,
    );
  });

  it("has colours where they are wanted", () => {
    equal(
      render({ ...right, checks: right.checks.slice(0, 1) }, "https://upstream/", { colour: true }),
      `\x1b[1mHop      Case              Expected  Observed\x1b[0m
gateway  edge certificate  200       200       \x1b[32mok\x1b[0m

GET https://upstream/ with the edge client certificate
{ "hello": "world" }

\x1b[32m1 check, all right\x1b[0m
`,
    );
  });
});
