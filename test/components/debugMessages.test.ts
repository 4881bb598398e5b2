// Debug messages of Pulumi's SDK, which `pulumi up --json` writes, without what the engine answered.

import { deepStrictEqual as same } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { withholdAnswers } from "../../components/debugMessages.ts";

describe("debug messages", () => {
  const log = pulumi.log as { debug: typeof pulumi.log.debug };
  const original = log.debug;
  const said: string[] = [];
  before(() => {
    log.debug = async (message) => void said.push(message);
    withholdAnswers();
  });
  after(() => void (log.debug = original));

  it("of the SDK itself say which resource was registered, but none of its outputs", async () => {
    const state = { password: pulumi.secret("hunter2\nhunter3") };
    await pulumi.runtime.setMocks({
      newResource: () => ({ id: "id", state }),
      call: () => ({}),
    });
    class Thing extends pulumi.CustomResource {}
    const made = new Thing("any:index:Thing", "thing", {});
    await new Promise((known) => made.id.apply(known));
    const answers = said.filter((message) => message.includes("RPC finished"));
    same(answers, ["RegisterResource RPC finished: resource:thing[any:index:Thing]; err: null, resp: (withheld)"]);
    same(
      said.filter((message) => message.includes("hunter")),
      [],
    );
  });
});
