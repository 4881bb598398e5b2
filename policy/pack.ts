// The pack that `pulumi preview --policy-pack policy` runs.

import { PolicyPack } from "@pulumi/policy";

import { policies } from "./policies.ts";

new PolicyPack("mtls-everywhere", { enforcementLevel: "mandatory", policies });
