/** A cluster that the user named by kubeconfig context: found, tried, and singled out. */
import { KubeConfig, VersionApi } from "@kubernetes/client-node";
import { setTimeout as sleep } from "node:timers/promises";

const patience = 10_000;

export interface NamedCluster {
  /** A kubeconfig with only this context, so that no other cluster can be reached by mistake. */
  kubeconfig: string;
  server: string;
  /** Why it cannot be used, and what to do. */
  problem?: string;
}

export async function namedCluster(context: string): Promise<NamedCluster> {
  const config = new KubeConfig();
  try {
    config.loadFromDefault();
  } catch (error) {
    const problem = `Your kubeconfig cannot be read (${(error as Error).message}): set KUBECONFIG to the file that has context "${context}".`;
    return { kubeconfig: "", server: "", problem };
  }
  const names = config.getContexts().map(({ name }) => name);
  if (!names.includes(context)) {
    const problem = `Your kubeconfig has no context "${context}"; it has: ${names.join(", ")}. Set KUBECONFIG, or name one of these with CONTEXT=.`;
    return { kubeconfig: "", server: "", problem };
  }
  config.setCurrentContext(context);
  const [cluster, user, entry] = [
    config.getCurrentCluster(),
    config.getCurrentUser(),
    config.getContextObject(context),
  ];
  if (cluster === null || entry === null) {
    const problem = `Context "${context}" of your kubeconfig names a cluster that the file does not define: correct it (KUBECONFIG, else ~/.kube/config).`;
    return { kubeconfig: "", server: "", problem };
  }
  const only = new KubeConfig();
  only.loadFromOptions({
    contexts: [entry],
    clusters: [cluster],
    users: user === null ? [] : [user],
    currentContext: context,
  });
  const reason = await Promise.race([
    only
      .makeApiClient(VersionApi)
      .getCode()
      .then(
        () => undefined,
        (error: Error) => ((error.cause as Error | undefined)?.message || error.message).split("\n")[0],
      ),
    sleep(patience, `no answer within ${patience / 1000} s`, { ref: false }),
  ]);
  const problem = `The API server ${cluster.server} of context "${context}" cannot be used (${reason}). Nothing was changed; \`kubectl --context ${context} version\` must work.`;
  return {
    kubeconfig: only.exportConfig(),
    server: cluster.server,
    problem: reason === undefined ? undefined : problem,
  };
}
