// Plans the egress proxy's nginx.conf: a server for each service outside the platform, with that service's own trust.

import type { Identity } from "@mtls-everywhere/vocabulary/identities";
import { openSslSuites, tlsVersions } from "@mtls-everywhere/vocabulary/tlsPolicy";

import { certificateHeader, forwardedHeader } from "./forwardedIdentity.ts";
import { liveLeaf } from "./liveLeaf.ts";
import { mutualTls, nginxFolders, nginxProgram } from "./nginxServer.ts";
import { type OutsideService, type OutsideServices, portOf } from "./outsideServices.ts";

/** Mount points that the configuration refers to. A leaf is what the gateway sees; a client certificate, what a service sees. */
export const egressPaths = {
  ...nginxFolders,
  leaf: (service: string) => `/tls/${service}`,
  client: (service: string) => `/clients/${service}`,
} as const;

/** Written when the pod starts: nginx asks only the name servers that its configuration lists. */
const nameServers = `${egressPaths.scratch}/resolver.conf`;

/**
 * Starts nginx with the name servers that the kubelet gave the pod. So a service's name is looked up while requests come, for as long as
 * its records say; written into the configuration, it would be looked up once, and a new address would be an outage.
 */
export const egressCommand = [
  "sh",
  "-c",
  [
    `servers=$(sed -n -e 's/^nameserver *\\([0-9.]*\\) *$/\\1/p' -e 's/^nameserver *\\([0-9a-fA-F]*:[0-9a-fA-F:]*\\) *$/[\\1]/p' /etc/resolv.conf)`,
    `echo resolver $servers ";" > ${nameServers}`,
    `exec nginx -c ${egressPaths.config}/nginx.conf -g "daemon off;"`,
  ].join("\n"),
];

/** Intermediates between a service's leaf and its root: public authorities have one or two, and one more where their root is cross-signed. */
const longestChain = 3;

/** What a request has gathered in the platform about its client and its way: no business of others. */
const inwardHeaders = [
  forwardedHeader,
  certificateHeader,
  "X-Real-IP",
  ...["For", "Host", "Port", "Prefix", "Proto"].map((what) => `X-Forwarded-${what}`),
];

/** The name by which the gateway asks the proxy for a service, and which it verifies. */
export function egressName(name: string, namespace: string, service: string): string {
  return `${service}.${name}.${namespace}.svc`;
}

/** nginx.conf of the proxy with this name. */
export function egressConfig(
  name: string,
  {
    namespace,
    image,
    services,
  }: { readonly namespace: string; readonly image: string; readonly services: OutsideServices },
  callers: readonly Identity[],
): string {
  const known = Object.entries(services);
  const servers = known.map(
    ([service, outside]) => `${mutualTls(egressPaths.leaf(service))}
    server_name ${egressName(name, namespace, service)};
    set $outside "https://${outside.host}:${portOf(outside)}";
    location / {
      ${forwarding(service, outside).join("\n      ")}
    }`,
  );
  // For whoever names no service, as a rotation does that looks at the leaf: all are renewed together.
  const nobody = `${mutualTls(egressPaths.leaf(known[0]?.[0] ?? ""), " default_server")}
    return 421;`;
  return nginxProgram(callers, image, [nobody, ...servers], [`include ${nameServers};`]);
}

/** File name of a service's roots, beside nginx.conf. */
export function rootsFile(service: string): string {
  return `${service}.crt`;
}

function forwarding(service: string, { host, clientCertificate, ...outside }: OutsideService): string[] {
  const port = portOf(outside);
  const client = liveLeaf(egressPaths.client(service));
  return [
    "proxy_pass $outside;",
    `proxy_ssl_trusted_certificate ${egressPaths.config}/${rootsFile(service)};`,
    "proxy_ssl_verify on;",
    `proxy_ssl_verify_depth ${longestChain};`,
    `proxy_ssl_name ${host};`,
    "proxy_ssl_server_name on;",
    `proxy_ssl_protocols ${tlsVersions.join(" ")};`,
    `proxy_ssl_ciphers ${openSslSuites.join(":")};`,
    "proxy_ssl_session_reuse off;",
    ...(clientCertificate ? [`proxy_ssl_certificate ${client.cert};`, `proxy_ssl_certificate_key ${client.key};`] : []),
    `proxy_set_header Host ${port === 443 ? host : `${host}:${port}`};`,
    ...inwardHeaders.map((header) => `proxy_set_header ${header} "";`),
    "proxy_http_version 1.1;",
    // The gateway's own limits decide, and nothing of a request or answer is written to a disk.
    "client_max_body_size 0;",
    "proxy_request_buffering off;",
    "proxy_max_temp_file_size 0;",
    "proxy_send_timeout 1h;",
    "proxy_read_timeout 1h;",
    // Then the next of the service's addresses.
    "proxy_connect_timeout 5s;",
  ];
}
