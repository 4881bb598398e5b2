// Runs in a consumer's folder: its program under Pulumi's mocks, and its dynamic resources' code from the state.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

import * as pulumi from "@pulumi/pulumi";

/** What the consumer's stack is given. */
export interface Given {
  readonly config: Record<string, string>;
  /** Outputs of the platform's stack. */
  readonly platform: object;
}

/** The result. */
export interface Outcome {
  readonly resources: readonly Resource[];
  readonly exported: unknown;
  /** What the route's code in the state says about a route without hosts. */
  readonly failures: readonly unknown[];
}

export interface Resource {
  readonly type: string;
  readonly name: string;
  readonly inputs: Readonly<Record<string, unknown>>;
}

const [given = "", outcome = ""] = process.argv.slice(2);
const { config, platform } = JSON.parse(readFileSync(given, "utf8")) as Given;

const resources: Resource[] = [];
await pulumi.runtime.setMocks(
  {
    newResource({ type, name, inputs }) {
      resources.push({ type, name, inputs: inputs as Resource["inputs"] });
      const made = type === "pulumi:pulumi:StackReference" ? { outputs: platform } : {};
      return {
        id: `${name}-id`,
        state: { output: (inputs as { input?: unknown }).input, ...(inputs as object), ...made },
      };
    },
    call: () => ({}),
  },
  "shop",
  "dev",
  false,
  "organization",
);
pulumi.runtime.setAllConfig(config);
const program = (await import(resolve("index.ts"))) as object;
const exported = await new Promise((known) => pulumi.output({ ...program }).apply(known));
// Resources that no export depends on come last.
for (let count = -1; count !== resources.length; await new Promise((later) => setTimeout(later, 100)))
  count = resources.length;

const inSdk = createRequire(createRequire(import.meta.url).resolve("@pulumi/pulumi"));
const requireFromString = inSdk("require-from-string") as (code: string) => {
  handler(): pulumi.dynamic.ResourceProvider;
};
const { __provider: code, ...route } = resources.find(({ type }) => type.endsWith(":ApisixRoute"))!.inputs;
const provider = requireFromString(String(code)).handler();
const { failures = [] } = await provider.check!({}, { ...route, hosts: [] });

writeFileSync(outcome, JSON.stringify({ resources, exported, failures } satisfies Outcome));
process.exit();
