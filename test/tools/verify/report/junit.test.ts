// The report as programs that collect test results read it.

import { equal, match } from "node:assert/strict";

import { junit } from "../../../../tools/verify/report/junit.ts";
import { few, hostile, occasion } from "../../../support/findings.ts";

describe("the report as JUnit XML", () => {
  it("has a suite per hop and one for the served certificates", async () => {
    equal(
      junit(few, await occasion()),
      `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="mtls-everywhere verify" tests="6" failures="2" errors="0" skipped="1" time="9.400" timestamp="2026-11-26T13:00:00.000Z">
<properties>
<property name="stack" value="dev"/>
<property name="gateway" value="https://api.example.com/"/>
<property name="namespace" value="mtls"/>
</properties>
<testsuite name="gateway" tests="2" failures="1" errors="0" skipped="0" time="1.512" timestamp="2026-11-26T13:00:00.000Z">
<testcase classname="verify.gateway" name="edge certificate" time="0.012"><properties><property name="threat" value="T1"/></properties></testcase>
<testcase classname="verify.gateway" name="no certificate" time="1.500"><properties><property name="threat" value="T1"/></properties><failure type="wrong" message="expected alert certificate_required (116), observed 200">expected: alert certificate_required (116)
observed: 200</failure></testcase>
</testsuite>
<testsuite name="etcd" tests="1" failures="0" errors="0" skipped="1" time="0.000" timestamp="2026-11-26T13:00:00.000Z">
<testcase classname="verify.etcd" name="no certificate" time="0.000"><properties><property name="threat" value="T5"/></properties><skipped message="nothing may sign it"/></testcase>
</testsuite>
<testsuite name="served certificates" tests="3" failures="1" errors="0" skipped="0" time="0.000" timestamp="2026-11-26T13:00:00.000Z">
<testcase classname="verify.served certificates" name="gateway, apisix-0" time="0.000"></testcase>
<testcase classname="verify.served certificates" name="gateway, apisix-1" time="0.000"><system-out>Secret mtls/gateway holds a newer one.</system-out></testcase>
<testcase classname="verify.served certificates" name="etcd" time="0.000"><failure type="wrong" message="No ready pod.">No ready pod.
served: nothing</failure></testcase>
</testsuite>
</testsuites>
`,
    );
  });

  it("stays XML whatever a server says", async () => {
    const [first] = few.checks;
    const checks = [{ ...first!, case: hostile, observed: hostile, verdict: "wrong" as const, ok: false }];
    const text = junit({ ...few, checks }, await occasion());
    const said =
      "&lt;/td&gt;&lt;script&gt;throw 1&lt;/script&gt;&lt;img src=x onerror=&quot;throw 2&quot;&gt;&amp;amp;&#39; ]]&gt;\ufffd\ufffd[31m\ufffd";
    equal(text.split(said).length - 1, 3);
    match(text.replaceAll(said, ""), /^[^\0-\x08\x0b\x0c\x0e-\x1f]*$/);
  });
});
