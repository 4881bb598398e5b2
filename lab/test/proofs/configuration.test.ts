// The table of changed values has a row for every key of the configuration.

import { deepStrictEqual as same, ok } from "node:assert/strict";

import { changedKeys, configurationKeys } from "../../proofs/configuration.ts";

describe("the table of changed values", () => {
  it("has a row for every key", () => {
    const keys = configurationKeys();
    ok(keys.includes("pki.root.intermediateDuration") && keys.includes("trustDomain"), keys.join());
    same(changedKeys().sort(), keys.sort());
  });
});
