// Global rules: plugins that act on every request of the gateway, whichever route it takes.

import { createHash } from "node:crypto";

import type { OwnerMark } from "../ownership.ts";
import { defineKind } from "./kind.ts";
import { plugins, pluginsByName } from "./plugins.ts";
import { objectIdentity } from "./values.ts";

/** These objects have no labels, so the owner is in the id: nobody else's object can have it, and ours needs no other proof. */
const byId: OwnerMark = {
  // An id has at most 64 characters, of which 13 are the owner's; they differ even where the rest is cut off.
  id: (objectId, owner) => `${objectId.slice(0, 51)}.${createHash("sha256").update(owner).digest("hex").slice(0, 12)}`,
  put: (body) => body,
  read: (_object, ours) => ours,
};

export const globalRules = defineKind({
  schema: objectIdentity.extend({ plugins }),
  mark: byId,
  defaults: {},
  body: ({ plugins }) => ({ plugins }),
  presentable: pluginsByName,
});
