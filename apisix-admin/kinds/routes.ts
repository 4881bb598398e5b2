// Routes: which requests go to which upstream.

import { z } from "zod";

import type { Body } from "../body.ts";
import { hasUnknown } from "../checks.ts";
import { conditions } from "./conditions.ts";
import { defineKind } from "./kind.ts";
import { methods } from "./methods.ts";
import { wildcardHost } from "./names.ts";
import { whyUnmatched } from "./paths.ts";
import { plugins, pluginsByName } from "./plugins.ts";
import { rivalries } from "./rivals.ts";
import { description, objectIdentity, limitsOf, listOf, oneOf, text, textWithout, timeouts, value } from "./values.ts";

const noUpstream = "Pass the id of the upstream that requests go to.";

const method = oneOf(methods);
export type Method = z.infer<typeof method>;

const fields = objectIdentity.extend({
  hosts: listOf(
    wildcardHost,
    "Name the hosts: without them the route could be reached under another host's client policy.",
  ),
  uris: listOf(textWithout(whyUnmatched), "Give at least one path."),
  methods: z.array(method).optional(),
  upstream: text(noUpstream).optional(),
  /** In place of an upstream: the gateway itself answers 403. */
  refuse: z.literal(true).optional(),
  priority: value<number>(
    Number.isInteger,
    (given) => `A priority must be a whole number, not ${String(given)}.`,
  ).optional(),
  plugins: plugins.optional(),
  pluginConfig: z.string().optional(),
  websocket: z.boolean().optional(),
  timeout: timeouts.optional(),
  vars: conditions.optional(),
  description: description.optional(),
  enabled: z.boolean().optional(),
});

const schema = fields.refine(({ upstream, refuse }) => (upstream === undefined) !== (refuse === undefined), {
  path: ["upstream"],
  error: noUpstream,
  when: () => true, // whatever else is wrong
});

/** The plugin that answers before any upstream is chosen, whatever else a route has. */
const refusing = {
  "fault-injection": { abort: { http_status: 403, body: '{"error_msg":"403 Client Not Allowed"}\n' } },
};

/** Which requests it takes. */
const requests = fields.pick({ hosts: true, uris: true, methods: true, vars: true, priority: true, enabled: true });

export const routes = defineKind({
  schema,
  defaults: { priority: 0, status: 1 },

  body: ({ upstream, refuse, plugins, description, ...spec }) => ({
    ...taken(spec),
    upstream_id: upstream,
    enable_websocket: spec.websocket,
    timeout: spec.timeout && limitsOf(spec.timeout),
    plugins: refuse ? { ...plugins, ...refusing } : plugins,
    plugin_config_id: spec.pluginConfig,
    desc: description,
  }),

  presentable: pluginsByName,

  rivals: {
    fields(inputs) {
      const known = Object.keys(requests.shape).every((name) => !hasUnknown(inputs[name]));
      return known ? taken(requests.parse(inputs)) : undefined;
    },
    doubts: rivalries,
  },
});

/** The part of the body that says which requests it takes. */
function taken({ hosts, uris, methods, vars, priority, enabled }: z.infer<typeof requests>): Body {
  return { hosts, uris, methods, vars, priority: priority ?? 0, status: enabled === false ? 0 : 1 };
}
