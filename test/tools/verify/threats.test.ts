// The threats of docs/threat-model.md and the lines of verify's report: each stands for one, and none is without.

import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";

import { linesOf } from "../../../tools/verify/matrix/lines.ts";
import { outputs } from "../../support/outputs.ts";

/** The page's threats, and what its last column says of each. */
const threats = readFileSync(`${import.meta.dirname}/../../../docs/threat-model.md`, "utf8")
  .split("\n")
  .flatMap((line) => {
    const [threat, ...cells] = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    return /^T\d+$/.test(threat ?? "") ? [{ threat, tested: cells.at(-1) ?? "" }] : [];
  });

/** Of a platform whose own host names its clients. */
const lines = linesOf({
  ...outputs,
  clients: {
    allowed: [{ namespace: "mtls", serviceAccount: "curl" }],
    certificates: [{ plane: "edge", namespace: "mtls", name: "client-curl" }],
  },
});
const sorted = (numbers: Iterable<string | undefined>) => [...new Set(numbers)].sort();

describe("the threat model", () => {
  it("numbers its threats without a gap", () => {
    deepEqual(sorted(threats.map(({ threat }) => threat)), sorted(threats.map((_threat, index) => `T${index + 1}`)));
    equal(new Set(threats.map(({ threat }) => threat)).size, threats.length);
  });

  it("has each threat's lines in verify, or says why there are none", () => {
    const tested = threats.filter(({ tested }) => !/^no: ./.test(tested));
    ok(tested.every(({ tested }) => /^(yes|suites)/.test(tested)));
    const checked = lines.filter((line) => "expect" in line);
    deepEqual(sorted(checked.map(({ threat }) => threat)), sorted(tested.map(({ threat }) => threat)));
    deepEqual(sorted(lines.map(({ threat }) => threat)), sorted(tested.map(({ threat }) => threat)));
  });
});
