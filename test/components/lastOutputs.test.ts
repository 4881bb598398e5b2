// What the last update left, read while the running one saves its state.

import { deepStrictEqual as same, rejects, strictEqual as equal } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { lastOutputs } from "../../components/lastOutputs.ts";

describe("a stack's last outputs", () => {
  /** The engine, whose first answers are these errors. */
  async function failing(...messages: readonly string[]): Promise<() => number> {
    let asked = 0;
    const call = () => {
      const message = messages[asked++];
      if (message !== undefined) throw Object.assign(new Error(message), { details: `invocation failed: ${message}` });
      return { outputs: { contract: 2 } };
    };
    await pulumi.runtime.setMocks(
      { newResource: () => ({ id: "id", state: {} }), call },
      "mtls-everywhere",
      "dev",
      false,
      "organization",
    );
    return () => asked;
  }

  it("are read again when they were being written", async () => {
    const asked = await failing("failed to load checkpoint: EOF", "failed to load checkpoint: unexpected end of JSON");
    same(await lastOutputs(), { contract: 2 });
    equal(asked(), 3);
  });

  it("are not read again for another reason, which is said", async () => {
    const asked = await failing("passphrase must be set");
    await rejects(lastOutputs(), /passphrase must be set/);
    equal(asked(), 1);
  });
});
