// Plugin configs: plugins that several routes share, by the config's id.

import { defineKind } from "./kind.ts";
import { plugins, pluginsByName } from "./plugins.ts";
import { description, objectIdentity } from "./values.ts";

export const pluginConfigs = defineKind({
  schema: objectIdentity.extend({ plugins, description: description.optional() }),
  defaults: {},
  body: ({ plugins, description }) => ({ plugins, desc: description }),
  presentable: pluginsByName,

  async inUse(id, referrers) {
    return (await referrers.list("routes")).some((route) => route["plugin_config_id"] === id);
  },
});
