// All kinds of Admin API objects that can be managed, as the API's paths spell them.

import { globalRules } from "./globalRules.ts";
import { pluginConfigs } from "./pluginConfigs.ts";
import { routes } from "./routes.ts";
import { ssls } from "./ssls.ts";
import { upstreams } from "./upstreams.ts";

export const kinds = {
  upstreams,
  ssls,
  routes,
  global_rules: globalRules,
  plugin_configs: pluginConfigs,
};

export type KindName = keyof typeof kinds;

export function isKindName(name: string): name is KindName {
  return Object.hasOwn(kinds, name);
}
