/** Pebble and Knot DNS as objects in a lab's cluster, and cert-manager's issuer that uses them. */
import { addresses } from "../inside/addresses.ts";
import { knotImage, pebbleImage } from "./images.ts";

/** The zone whose names can be validated; the lab's cluster DNS forwards it. */
export const zone = addresses.acmeZone;
export const namespace = "acme";
/** Name that Pebble's own certificate must carry. */
export const server = `pebble.${namespace}.svc`;
export const issuer = "acme";

const key = { name: "acme", algorithm: "hmac-sha256" };
const ports = { directory: 14_000, management: 15_000, dns: 5353 };

/** Where Pebble shows the root that it signs with, which is new at each start: a path of the API server. */
export const rootPath = `/api/v1/namespaces/${namespace}/services/https:pebble:${ports.management}/proxy/roots/0`;

/** The servers. `pair` is Pebble's own certificate; `tsig` is the base64 key for dynamic updates. */
export function acmeServers({ pair, tsig }: { pair: { cert: string; key: string }; tsig: string }): object[] {
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    config("pebble", { "config.json": JSON.stringify(pebbleConfig), "tls.crt": pair.cert, "tls.key": pair.key }),
    config("name-server", { "knot.conf": knotConfig(tsig), zone: zoneFile }),
    deployment("pebble", pebbleImage, {
      args: ["-config", "/config/config.json", "-strict", "-dnsserver", `${addresses.nameServer}:53`],
      // Validation is on. Once valid, a name needs no challenge for the next order, as with public servers.
      env: Object.entries({ PEBBLE_VA_NOSLEEP: "1", PEBBLE_AUTHZREUSE: "100", PEBBLE_WFE_NONCEREJECT: "0" }),
      port: ports.directory,
    }),
    deployment("name-server", knotImage, { args: ["-c", "/config/knot.conf"], env: [], port: ports.dns }),
    service("pebble", { ports: [ports.directory, ports.management].map((port) => ({ name: `p${port}`, port })) }),
    service("name-server", {
      clusterIP: addresses.nameServer,
      ports: ["UDP", "TCP"].map((protocol) => ({
        ...{ name: protocol.toLowerCase(), protocol, port: 53, targetPort: ports.dns },
      })),
    }),
  ];
}

/** A ClusterIssuer, with its Secret in cert-manager's namespace. It does not verify Pebble's own certificate. */
export function acmeIssuer(tsig: string): object[] {
  const secret = { name: "acme-tsig", key: "secret" };
  return [
    {
      ...{ apiVersion: "v1", kind: "Secret", metadata: { name: secret.name, namespace: "cert-manager" } },
      stringData: { [secret.key]: tsig },
    },
    {
      ...{ apiVersion: "cert-manager.io/v1", kind: "ClusterIssuer", metadata: { name: issuer } },
      spec: {
        acme: {
          server: `https://${server}:${ports.directory}/dir`,
          skipTLSVerify: true,
          privateKeySecretRef: { name: "acme-account" },
          solvers: [
            {
              dns01: {
                rfc2136: {
                  nameserver: `${addresses.nameServer}:53`,
                  ...{ tsigKeyName: key.name, tsigAlgorithm: "HMACSHA256", tsigSecretSecretRef: secret },
                },
              },
            },
          ],
        },
      },
    },
  ];
}

const pebbleConfig = {
  pebble: {
    ...{ listenAddress: `0.0.0.0:${ports.directory}`, managementListenAddress: `0.0.0.0:${ports.management}` },
    ...{ certificate: "/config/tls.crt", privateKey: "/config/tls.key" },
    ...{ httpPort: 80, tlsPort: 443, ocspResponderURL: "", externalAccountBindingRequired: false },
    ...{ retryAfter: { authz: 1, order: 1 }, keyAlgorithm: "ecdsa" },
    profiles: { default: { description: "90 days", validityPeriod: 7_776_000 } },
  },
};

const knotConfig = (tsig: string) => `server:
  rundir: /data
  listen: 0.0.0.0@${ports.dns}
log:
  - target: stderr
    any: info
database:
  storage: /data
key:
  - id: ${key.name}
    algorithm: ${key.algorithm}
    secret: ${tsig}
acl:
  - id: update
    key: ${key.name}
    action: update
zone:
  - domain: ${zone}
    file: /config/zone
    zonefile-sync: -1
    journal-content: changes
    acl: update
`;

const zoneFile = `$ORIGIN ${zone}.
$TTL 1
@ SOA ns hostmaster 1 60 60 60 1
@ NS ns
ns A ${addresses.nameServer}
`;

const named = (name: string) => ({ name, namespace });

function config(name: string, data: Record<string, string>): object {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: named(name), data };
}

function service(name: string, spec: object): object {
  return { apiVersion: "v1", kind: "Service", metadata: named(name), spec: { ...spec, selector: { app: name } } };
}

function deployment(
  name: string,
  image: string,
  { args, env, port }: { args: string[]; env: [string, string][]; port: number },
): object {
  const mounts = { config: "/config", data: "/data" };
  return {
    ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: named(name) },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          securityContext: { fsGroup: 65_532 },
          containers: [
            {
              ...{ name, image, args, env: env.map(([name, value]) => ({ name, value })) },
              readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
              volumeMounts: Object.entries(mounts).map(([name, mountPath]) => ({ name, mountPath })),
            },
          ],
          volumes: [
            { name: "config", configMap: { name } },
            { name: "data", emptyDir: {} },
          ],
        },
      },
    },
  };
}
