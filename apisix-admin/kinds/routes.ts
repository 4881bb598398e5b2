// Routes: which requests go to which upstream.

import { z } from "zod";

import { defineKind } from "./kind.ts";
import { plugins, pluginsByName } from "./plugins.ts";
import { description, identity, listOf, oneOf, text, value } from "./values.ts";

const method = oneOf(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"]);
export type Method = z.infer<typeof method>;

const host = z.string().regex(/^(\*\.)?[0-9a-zA-Z-._]+$/, {
  error: ({ input }) => `"${input}" is no host name; a wildcard is "*." and a domain.`,
});

const path = z.string().startsWith("/", { error: ({ input }) => `A path starts with "/", not like "${input}".` });

const schema = identity.extend({
  hosts: listOf(host, "Name the hosts: without them the route could be reached under another host's client policy."),
  uris: listOf(path, "Give at least one path."),
  methods: z.array(method).optional(),
  upstream: text("Pass the id of the upstream that requests go to."),
  priority: value<number>(
    Number.isInteger,
    (given) => `A priority is a whole number, not ${String(given)}.`,
  ).optional(),
  plugins: plugins.optional(),
  description: description.optional(),
  enabled: z.boolean().optional(),
});

export const routes = defineKind({
  schema,
  defaults: { priority: 0, status: 1 },

  body: ({ hosts, uris, methods, upstream, priority, plugins, description, enabled }) => ({
    hosts,
    uris,
    methods,
    upstream_id: upstream,
    priority: priority ?? 0,
    plugins,
    desc: description,
    status: enabled === false ? 0 : 1,
  }),

  presentable: pluginsByName,
});
