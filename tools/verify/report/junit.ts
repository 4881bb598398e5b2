// The report as JUnit XML, for what collects test results: a suite per hop, and one for the served certificates.

import type { Result } from "../judge.ts";
import type { Report } from "../run.ts";
import { placeOf, type Served } from "../served.ts";
import { byHop, type Occasion } from "./findings.ts";
import { type Markup, markup, nothing } from "./markup.ts";

interface Case {
  readonly name: string;
  readonly ms: number;
  readonly threat?: string | undefined;
  readonly outcome: "passed" | "failed" | "skipped";
  /** What went wrong, why it was skipped, or what a pass comes with. */
  readonly remark: string;
  readonly detail?: string;
}

/** The whole file. */
export function junit({ checks, served }: Report, { stack, outputs, start, ms }: Occasion): string {
  const suites = [...byHop(checks)].map(([hop, own]) => suite(hop, own.map(ofCheck), start));
  const certificates = served.map(ofServed);
  const all = [...checks.map(ofCheck), ...certificates];
  const properties = [
    ...(stack === undefined ? [] : [property("stack", stack)]),
    property("gateway", outputs.gateway.url),
    property("namespace", outputs.namespace),
  ];
  return markup`<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="mtls-everywhere verify" ${counts(all)} time="${seconds(ms)}" timestamp="${start.toISOString()}">
<properties>
${properties}
</properties>
${suites}
${suite("served certificates", certificates, start)}
</testsuites>
`.toString();
}

function ofCheck(finding: Result): Case {
  const { expected, observed, ms, threat, why = "" } = finding;
  const base = { name: finding.case, ms, threat };
  switch (finding.verdict) {
    case "right":
      return { ...base, outcome: "passed", remark: "" };
    case "not checked":
      return { ...base, outcome: "skipped", remark: why };
    case "wrong":
      return {
        ...{ ...base, outcome: "failed", remark: `expected ${expected}, observed ${observed}` },
        detail: `expected: ${expected}\nobserved: ${observed}`,
      };
  }
}

function ofServed({ pod, serial, root, notAfter, verdict, remark, ...one }: Served): Case {
  const place = placeOf(one);
  const base = { name: pod === "" ? place : `${place}, ${pod}`, ms: 0, remark };
  if (verdict !== "wrong") return { ...base, outcome: "passed" };
  const shown = serial === "" ? "nothing" : `serial number ${serial}, root ${root}, not after ${notAfter}`;
  return { ...base, outcome: "failed", detail: `${remark}\nserved: ${shown}` };
}

function suite(name: string, cases: readonly Case[], start: Date): Markup {
  const total = cases.reduce((sum, { ms }) => sum + ms, 0);
  const opening = markup`name="${name}" ${counts(cases)} time="${seconds(total)}" timestamp="${start.toISOString()}"`;
  return markup`<testsuite ${opening}>
${cases.map((one) => testcase(one, name))}
</testsuite>`;
}

function testcase({ name, ms, threat, outcome, remark, detail = "" }: Case, suite: string): Markup {
  const threats = threat === undefined ? nothing : markup`<properties>${property("threat", threat)}</properties>`;
  const result = {
    passed: () => (remark === "" ? nothing : markup`<system-out>${remark}</system-out>`),
    failed: () => markup`<failure type="wrong" message="${remark}">${detail}</failure>`,
    skipped: () => markup`<skipped message="${remark}"/>`,
  }[outcome]();
  return markup`<testcase classname="verify.${suite}" name="${name}" time="${seconds(ms)}">${threats}${result}</testcase>`;
}

/** The counts that a suite carries. Nothing is an error: a check that proves nothing is wrong. */
function counts(cases: readonly Case[]): Markup {
  const count = (outcome: Case["outcome"]) => cases.filter((one) => one.outcome === outcome).length;
  return markup`tests="${cases.length}" failures="${count("failed")}" errors="0" skipped="${count("skipped")}"`;
}

function property(name: string, value: string): Markup {
  return markup`<property name="${name}" value="${value}"/>`;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}
