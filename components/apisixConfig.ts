// Plans APISIX's config.yaml. Every key is one that real APISIX 3.18 accepts: it silently ignores unknown ones.

import { readFileSync } from "node:fs";

import type { StoreEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type { Identity } from "@mtls-everywhere/vocabulary/identities";
import { apisixPorts } from "@mtls-everywhere/vocabulary/ports";
import { curves, openSslSuites, sessions, tlsVersions } from "@mtls-everywhere/vocabulary/tlsPolicy";
import { stringify } from "yaml";

import { adminCallersSnippet } from "./adminCallers.ts";
import { forwardedMap, forwardedSnippet } from "./forwardedIdentity.ts";
import { inUse, type KeyNames, suffixed, variableOf } from "./keyNames.ts";
import { leavesMap, liveLeaf } from "./liveLeaf.ts";
import { hasPlainHttp, noPlainHttp, type PlainHttp, plainMap, plainSnippet } from "./plainHttp.ts";

/** APISIX's home in the image, and where certificates and trust bundles are mounted. */
export const apisixPaths = {
  home: "/usr/local/apisix",
  etcdLeaf: "/tls/etcd",
  adminLeaf: "/tls/admin",
  upstreamLeaf: "/tls/upstream",
  etcdTrust: "/trust/etcd",
  adminTrust: "/trust/admin",
  upstreamTrust: "/trust/upstream",
} as const;

/** The one program of ours that runs in the gateway, as a file beside config.yaml: no code is in etcd. */
export const clientCertificate = {
  name: "client-cert.lua",
  text: readFileSync(new URL("client-cert.lua", import.meta.url), "utf8"),
} as const;

/** Environment variables with the secrets of config.yaml: one for each key, by its name. */
export const apisixVariables = {
  adminKey: (name: string) => variableOf("ADMIN_KEY", name),
  keyring: (name: string) => variableOf("KEYRING", name),
  etcdPassword: (name: string) => variableOf("ETCD_PASSWORD", name),
} as const;

/** Seconds after which a keep-alive connection is closed with its next request; idle ones last no longer. */
const keepaliveSeconds = 60;

/** config.yaml as an object. Secrets come from the environment, never from the ConfigMap. */
export function apisixConfig(
  store: Pick<StoreEndpoint, "endpoints" | "prefix" | "user">,
  keys: KeyNames,
  adminCallers: readonly Identity[],
  plainHttp: PlainHttp = noPlainHttp,
) {
  const fromEnvironment = (name: string) => `\${{${name}}}`;
  const admin = liveLeaf(apisixPaths.adminLeaf);
  const upstream = liveLeaf(apisixPaths.upstreamLeaf);
  const policy = `ssl_session_cache ${sessions.cache};\nssl_ecdh_curve ${curves.join(":")};\n`;
  const listener = `${policy}keepalive_time ${keepaliveSeconds}s;\n`;
  const verification = "proxy_ssl_verify on;\nproxy_ssl_verify_depth 2;\n";
  const trusted = `proxy_ssl_trusted_certificate ${apisixPaths.upstreamTrust}/ca.crt;\n`;
  const presented = `proxy_ssl_certificate ${upstream.cert};\nproxy_ssl_certificate_key ${upstream.key};\n`;
  const forwarded = forwardedSnippet(`${apisixPaths.home}/conf/${clientCertificate.name}`);
  return {
    apisix: {
      enable_admin: true,
      // A port-forward reaches loopback listeners, and the control API asks nobody for a certificate.
      enable_control: false,
      enable_ipv6: false,
      // Unless hosts are named, plain HTTP stays inside the pod, and is refused there too.
      node_listen: [{ ip: hasPlainHttp(plainHttp) ? "0.0.0.0" : "127.0.0.1", port: apisixPorts.plain }],
      status: { ip: "0.0.0.0", port: apisixPorts.status },
      data_encryption: {
        enable_encrypt_fields: true,
        // The first seals, all open.
        keyring: keys.keyring.map((name) => fromEnvironment(apisixVariables.keyring(name))),
      },
      ssl: {
        enable: true,
        listen: [{ port: apisixPorts.gateway }],
        // For the Admin API too.
        ssl_protocols: tlsVersions.join(" "),
        ssl_ciphers: openSslSuites.join(":"),
        // The etcd plane only; upstreams are trusted by the location snippet below.
        ssl_trusted_certificate: `${apisixPaths.etcdTrust}/ca.crt`,
      },
    },
    nginx_config: {
      worker_processes: 2,
      http_configuration_snippet: `${leavesMap}\n${forwardedMap}\n${plainMap(plainHttp)}\n`,
      // No resumption: a session made under a withdrawn client CA would live on. Tickets are off in APISIX's own
      // template, and nginx takes that directive only once. Upstreams are verified in the whole server block: a location
      // without the trust below (the plugin proxy-buffering adds one) trusts none of them.
      http_server_configuration_snippet: `${listener}${verification}${plainSnippet}`,
      http_admin_configuration_snippet: `${listener}${adminCallersSnippet(adminCallers)}`,
      // In 3.18 the only way to verify upstreams; the server block already trusts the etcd plane. The leaf is presented to every
      // upstream that asks for one and names no other: neither it nor its key is an object in APISIX.
      http_server_location_configuration_snippet: `${trusted}${verification}${presented}${forwarded}\n`,
    },
    deployment: {
      role: "traditional",
      role_traditional: { config_provider: "etcd" },
      admin: {
        enable_admin_ui: false,
        allow_admin: ["127.0.0.0/24"],
        admin_listen: { ip: "127.0.0.1", port: apisixPorts.admin },
        https_admin: true,
        admin_api_mtls: {
          admin_ssl_cert: admin.cert,
          admin_ssl_cert_key: admin.key,
          admin_ssl_ca_cert: `${apisixPaths.adminTrust}/ca.crt`,
        },
        admin_key: keys.adminKeys.map((name) => ({
          name: suffixed("admin", name),
          key: fromEnvironment(apisixVariables.adminKey(name)),
          role: "admin",
        })),
      },
      etcd: {
        host: [...store.endpoints],
        prefix: store.prefix,
        timeout: 30,
        // Seconds until a member that failed is asked again. With the default of 10, and the 8 that etcd takes to end while it is
        // watched, a write may wait for the restart of a single member for 21.
        health_check_timeout: 1,
        user: store.user,
        password: fromEnvironment(apisixVariables.etcdPassword(inUse(keys.users))),
        // Plain paths: APISIX's client of etcd reads them at each connection.
        tls: { cert: `${apisixPaths.etcdLeaf}/tls.crt`, key: `${apisixPaths.etcdLeaf}/tls.key`, verify: true },
      },
    },
  };
}

/** config.yaml as text. */
export function apisixConfigYaml(...args: Parameters<typeof apisixConfig>): string {
  return stringify(apisixConfig(...args), { lineWidth: 0 });
}
