// Plugins, wherever a kind has them: by name, each with its own configuration, which only the server understands.

import { z } from "zod";

import type { Body } from "../body.ts";
import { isObject, value } from "./values.ts";

export const plugins = z.record(
  z.string(),
  value<Body>(isObject, () => "A plugin's configuration must be an object; {} for none."),
  "Plugins are given by name, each with its configuration.",
);

/** Configurations hold secrets: only the plugins' names are shown. */
export function pluginsByName({ plugins, ...object }: Body): Body {
  return plugins === undefined ? object : { ...object, plugins: Object.keys(plugins as Body).sort() };
}
