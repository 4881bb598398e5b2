// What the renewer is told: where its servers and its files are. Never what they hold.

import { readFileSync } from "node:fs";

export interface Settings {
  /** The Admin API on the pod's loopback. */
  readonly admin: {
    readonly port: number;
    /** Name that its certificate must carry. */
    readonly serverName: string;
    /** File with the roots that it must chain to. */
    readonly trust: string;
    /** Folder with `tls.crt` and `tls.key` of the renewer's own leaf. */
    readonly leaf: string;
  };
  /** Folder with the service account's `token` and the API server's `ca.crt`. */
  readonly account: string;
  /** Files with the roots of each plane, by its name: public, and read only for their expiry. */
  readonly roots: Readonly<Record<string, string>>;
  /** Port of the gateway on the pod's loopback, to see what is really served. */
  readonly gatewayPort: number;
  /** Port of the metrics, on every address of the pod. */
  readonly metricsPort: number;
}

/** Environment variables: the key of the Admin API, what seals, and what the kubelet gives to every container. */
export interface Environment {
  readonly adminKey: string;
  /** What this pod's gateway seals with, as objects' labels name it. */
  readonly sealedBy: string;
  readonly apiHost: string;
  readonly apiPort: number;
}

export function readSettings(file: string): Settings {
  return JSON.parse(readFileSync(file, "utf8")) as Settings;
}

export function readEnvironment(variables: NodeJS.ProcessEnv): Environment {
  const variable = (name: string) => {
    const value = variables[name];
    if (!value) throw new Error(`The environment variable ${name} is not set: the renewer runs in a pod of APISIX.`);
    return value;
  };
  return {
    adminKey: variable("ADMIN_KEY"),
    sealedBy: variable("SEALED_BY"),
    apiHost: variable("KUBERNETES_SERVICE_HOST"),
    apiPort: Number(variable("KUBERNETES_SERVICE_PORT")),
  };
}
