// Which kubeconfig is read, and how: as kubectl and the Kubernetes provider do it.

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

import { KubeConfig } from "@kubernetes/client-node";

/** Which kubeconfig to use; the defaults are the Kubernetes provider's (`KUBECONFIG`, current context). */
export interface ClusterSelection {
  /** A path, which may begin with `~/`, or the kubeconfig's text. */
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
}

/** @throws when there is no such context. */
export function loadKubeConfig(selection: ClusterSelection): KubeConfig {
  const config = new KubeConfig();
  const given = selection.kubeconfig;
  if (!given) loadFromEnvironment(config);
  else if (given.includes("\n") || given.trimStart().startsWith("{")) config.loadFromString(given);
  // Only a shell expands "~", and the configuration has not been through one; the Kubernetes provider does the same.
  else config.loadFromFile(given.startsWith("~/") ? join(homedir(), given.slice(2)) : given);
  if (selection.context) {
    if (!config.getContextObject(selection.context)) {
      const known = config.getContexts().map((context) => context.name);
      throw new Error(
        `The kubeconfig has no context "${selection.context}"; it has: ${known.join(", ") || "none"}. Set kubernetes:context to one of them.`,
      );
    }
    config.setCurrentContext(selection.context);
  }
  return config;
}

/**
 * Of several files in `KUBECONFIG`, the first that names something wins, and missing ones are skipped. The library itself
 * would end up with the last file's current context, which is another cluster.
 */
function loadFromEnvironment(config: KubeConfig): void {
  const files = (process.env.KUBECONFIG ?? "").split(delimiter).filter((file) => file !== "");
  if (files.length < 2) return config.loadFromDefault();
  const parts = files
    .filter((file) => existsSync(file))
    .map((file) => {
      const part = new KubeConfig();
      part.loadFromFile(file);
      return part;
    });
  config.loadFromOptions({
    clusters: firstOfName(parts.flatMap(({ clusters }) => clusters)),
    users: firstOfName(parts.flatMap(({ users }) => users)),
    contexts: firstOfName(parts.flatMap(({ contexts }) => contexts)),
    currentContext: parts.map(({ currentContext }) => currentContext).find((name) => name),
  });
}

function firstOfName<T extends { readonly name: string }>(items: readonly T[]): T[] {
  return items.filter(({ name }, index) => items.findIndex((item) => item.name === name) === index);
}
