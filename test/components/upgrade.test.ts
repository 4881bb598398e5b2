// An update of a stack from 0.1.0: which of its resources the program still knows, by their names in the state or by an alias.

import { deepStrictEqual as same, ok } from "node:assert/strict";

import { readUrn } from "../../urn.ts";
import { keptState } from "../support/keptState.ts";
import { plan } from "./mockedPlatform.ts";

/** Policies that each workload now creates under other names, before these are deleted. */
const policies = ["edges-etcd", "edges-apisix", "edges-upstream"];

/** What the engine deletes from the state: objects that others have replaced. */
const gone = [
  "mtls:platform:NetworkPolicies edges",
  ...policies.map((name) => `mtls:platform:NetworkPolicies$kubernetes:networking.k8s.io/v1:NetworkPolicy ${name}`),
  // The cluster itself is asked how many members there are.
  "pulumi:index:Stash etcd-members",
  // With outputs of 0.1.0 it stays as long as an upstream names it.
  "pulumi-nodejs:dynamic/mtls:ApisixSsl upstream-client",
];

describe("a state of 0.1.0", () => {
  it("finds all of its resources in the program, except the policies that others replace", async () => {
    const state = keptState("0.1.0").filter(({ type }) => !/^pulumi:(pulumi|providers):/.test(type));
    ok(state.length > 90);
    const { resources } = await plan("dev");
    const known = new Set(resources.flatMap(({ urns }) => urns));
    const lost = state.map(({ urn }) => urn).filter((urn) => !known.has(urn));
    same(
      lost
        .map(readUrn)
        .map(({ types, name }) => `${types.join("$")} ${name}`)
        .sort(),
      [...gone].sort(),
    );
  });
});
