// What another team's stack gets of the platform, and what it is told when it cannot use it.

import { deepEqual, rejects } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { readPlatform } from "../consume.ts";
import { outputs } from "./support/outputs.ts";

/** A platform's stack with these outputs. */
async function platformWith(values: Readonly<Record<string, unknown>>): Promise<void> {
  await pulumi.runtime.setMocks(
    {
      newResource: ({ name, inputs }) => ({ id: name, state: { ...(inputs as object), outputs: values } }),
      call: ({ inputs }) => inputs as Record<string, unknown>,
    },
    "shop",
    "dev",
  );
}

describe("a consumer of the platform", () => {
  const stack = "organization/mtls-everywhere/dev";

  it("gets its outputs as plain values, without those that it does not know", async () => {
    await platformWith({ ...outputs, added: "in a later release" });
    deepEqual(await readPlatform(stack), outputs);
  });

  it("is told what is missing, and what to do", async () => {
    const { gateway: _gateway, ...rest } = outputs;
    await platformWith({ ...rest, admin: { ...outputs.admin, port: "9180" } });
    await rejects(
      readPlatform(stack),
      (error: Error) =>
        pulumi.RunError.isInstance(error) &&
        error.message ===
          `The platform of stack ${stack} cannot be used.
stack output "gateway" is missing
stack output "admin.port" must be a number, but is "9180"
Run \`pulumi up -s ${stack}\` first.`,
    );
  });

  it("is told of outputs of another version", async () => {
    await platformWith({ ...outputs, contract: 3 });
    await rejects(readPlatform(stack), /outputs of stack organization\/mtls-everywhere\/dev are of version 3, but/);
  });
});
