// Plans the renewer: the sidecar of every APISIX pod that keeps the gateway's server certificates in sync with their Secrets.

import { readFileSync } from "node:fs";
import { isIPv6 } from "node:net";

import type { ApiServer } from "@mtls-everywhere/cluster-access/cluster";
import { type CertSecretRef, planes } from "@mtls-everywhere/vocabulary/planes";
import { apisixPorts, metricsPort } from "@mtls-everywhere/vocabulary/ports";
import type * as pulumi from "@pulumi/pulumi";

import type { Settings } from "../renewer/settings.ts";
import { apisixPaths, apisixVariables } from "./apisixConfig.ts";
import { networkPolicy, podsOf, tcp } from "./edges.ts";
import { inUse, type KeyNames } from "./keyNames.ts";
import type { MetricsPort } from "./monitoringPlan.ts";
import { trustRef } from "./trustBundle.ts";
import {
  configMapMount,
  matchLabelsOf,
  type Mountable,
  resources,
  restrictedContainer,
  secretMount,
} from "./workload.ts";

/** Name of its port. */
const metrics = "metrics";

/** Where the pods of a gateway export their renewers' metrics. */
export function renewerMetrics(name: string): MetricsPort {
  return { matchLabels: matchLabelsOf(name), port: metrics, portNumber: metricsPort };
}

/** Where its files are mounted, in its container alone. */
const paths = { program: "/renewer", leaf: "/tls/renewer", account: "/account", roots: "/roots" } as const;

/** What it runs: the committed bundle, and where things are. */
export function renewerFiles(adminName: string): Record<"renewer.cjs" | "settings.json", string> {
  const settings: Settings = {
    admin: {
      port: apisixPorts.admin,
      serverName: adminName,
      trust: `${apisixPaths.adminTrust}/ca.crt`,
      leaf: paths.leaf,
    },
    account: paths.account,
    roots: Object.fromEntries(planes.map((plane) => [plane, `${paths.roots}/${plane}/ca.crt`])),
    gatewayPort: apisixPorts.gateway,
    metricsPort,
  };
  return {
    "renewer.cjs": readFileSync(new URL("../renewer/bundle.cjs", import.meta.url), "utf8"),
    "settings.json": JSON.stringify(settings),
  };
}

/**
 * Restarts a command whenever it exits. A sidecar that exits makes its whole pod unready, readiness probe or not, and
 * takes the gateway out of its endpoints: so what may crash is a child process, and the container stays.
 */
export function forEver(command: string): string[] {
  const script = [
    `trap 'kill "$child"; exit 0' TERM`,
    `while true; do ${command} & child=$!; wait "$child"; sleep 2 & child=$!; wait "$child"; done`,
  ];
  return ["sh", "-c", script.join("; ")];
}

/** The sidecar's container, and the volumes that it adds. It shares the pod's volume of the admin plane's roots. */
export function renewerSidecar(
  name: string,
  args: { readonly renewerImage: string; readonly keys: Pick<KeyNames, "adminKeys"> },
  leaf: Mountable<CertSecretRef<"admin">>,
  sealedBy: pulumi.Input<string>,
) {
  const adminKey = apisixVariables.adminKey(inUse(args.keys.adminKeys));
  const mounts = [
    configMapMount("renewer", { name: `${name}-renewer` }, paths.program),
    secretMount("renewer-leaf", leaf, paths.leaf),
    ...planes.map((plane) =>
      configMapMount(`roots-${plane}`, { name: trustRef(plane, "").name }, `${paths.roots}/${plane}`),
    ),
    { volume: accountVolume, mount: { name: accountVolume.name, mountPath: paths.account, readOnly: true } },
  ];
  const container = {
    name: "renewer",
    image: args.renewerImage,
    // Native sidecars start before the gateway, which waits for nothing but their process, and stop after it.
    restartPolicy: "Always",
    command: forEver(`node --max-old-space-size=32 ${paths.program}/renewer.cjs ${paths.program}/settings.json`),
    securityContext: restrictedContainer,
    // No probes: they could only take the gateway out of its endpoints, directly or by a restart of this container.
    resources: resources("10m", "64Mi", "128Mi"),
    env: [
      { name: "ADMIN_KEY", valueFrom: { secretKeyRef: { name: `${name}-env`, key: adminKey } } },
      { name: "SEALED_BY", value: sealedBy },
    ],
    ports: [{ name: metrics, containerPort: metricsPort }],
    volumeMounts: [
      ...mounts.map(({ mount }) => mount),
      { name: "admin-trust", mountPath: apisixPaths.adminTrust, readOnly: true },
    ],
  };
  return { container, volumes: mounts.map(({ volume }) => volume) };
}

/** What it does besides the gateway: watch Secrets, at the API server's own addresses, since policies apply behind Services. */
export function renewerPolicy(name: string, namespace: string, { addresses, port }: ApiServer) {
  const only = (address: string) => ({ ipBlock: { cidr: `${address}/${isIPv6(address) ? 128 : 32}` } });
  return networkPolicy(`${name}-renewer`, podsOf(name, namespace), {
    egress: [{ to: addresses.map(only), ports: [tcp(port)] }],
  });
}

/** A token of the pod's service account, for this container alone, and the roots of the API server. */
const accountVolume = {
  name: "account",
  projected: {
    defaultMode: 0o440,
    sources: [
      { serviceAccountToken: { path: "token", expirationSeconds: 3_600 } },
      { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
    ],
  },
};
