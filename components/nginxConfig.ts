// nginx.conf of an upstream that serves files and only answers the callers it names.

import { type Identity, subjectOf } from "@mtls-everywhere/vocabulary/identities";
import { nginxPort } from "@mtls-everywhere/vocabulary/ports";
import { curves, openSslSuites, sessions, tlsVersions } from "@mtls-everywhere/vocabulary/tlsPolicy";

import { certificateHeader, forwardedHeader } from "./forwardedIdentity.ts";
import { leavesMap, liveLeaf } from "./liveLeaf.ts";

/** Mount points that the configuration refers to. */
export const nginxPaths = {
  config: "/etc/nginx-mtls",
  files: "/srv",
  leaf: "/tls",
  trust: "/trust",
  scratch: "/tmp",
} as const;

/**
 * Seconds that a terminating pod keeps answering, and those after which its connections are closed with their next answer.
 * The gateway pools connections: those that outlived the pod would break under a request in flight. Announced in an answer,
 * their end is seen in time, and the rest of the pause lets a pod's removal reach every proxy.
 */
export const nginxDrain = { pause: 5, connections: 3 } as const;

/** Below it, the answer is what the gateway has said of the client: verify's own requests are there, and see whether it can be forged. */
const toldPath = "/.verify/";

/** Bytes for a map's key: nginx does not start with a key over its default of 64, and a subject has up to 200 characters. */
const longestCaller = 256;

/**
 * The configuration: TLS that requires the caller's certificate, then a comparison of the caller's whole subject
 * (nginx sees subjects, not SANs). Sessions are not resumed: one made under a withdrawn root would live on.
 */
export function nginxConfig(callers: readonly Identity[], image: string): string {
  const allowed = callers.map((caller) => `    "${subjectOf(caller)}" 1;`);
  const scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `  ${kind}_temp_path ${nginxPaths.scratch}/${kind};`,
  );
  const leaf = liveLeaf(nginxPaths.leaf);
  return `worker_processes 1;
pid ${nginxPaths.scratch}/nginx.pid;
error_log /dev/stderr notice;
events {}
http {
  access_log /dev/stdout;
  server_tokens off;
  keepalive_time ${nginxDrain.connections}s;
${scratch.join("\n")}
  default_type application/json;
  map_hash_bucket_size ${longestCaller};
  map $ssl_client_s_dn $caller_allowed {
    default 0;
${allowed.join("\n")}
  }
  ${leavesMap}${knowsCertificateCache(image) ? "\n  ssl_certificate_cache max=8 valid=1s;" : ""}
  server {
    listen ${nginxPort} ssl;
    ssl_certificate ${leaf.cert};
    ssl_certificate_key ${leaf.key};
    ssl_client_certificate ${nginxPaths.trust}/ca.crt;
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_protocols ${tlsVersions.join(" ")};
    ssl_ciphers ${openSslSuites.join(":")};
    ssl_ecdh_curve ${curves.join(":")};
    ssl_session_cache ${sessions.cache};
    ssl_session_tickets ${sessions.tickets};
    root ${nginxPaths.files};
    index index.json;
    if ($caller_allowed = 0) {
      return 403;
    }
    location ${toldPath} {
      default_type text/plain;
      return 200 "${[forwardedHeader, certificateHeader].map((name) => `${received(name)}\\n`).join("")}";
    }
  }
}
`;
}

/** nginx's variable for a header of the request. */
function received(header: string): string {
  return `$http_${header.toLowerCase().replaceAll("-", "_")}`;
}

/**
 * Whether the image's nginx can cache an opened leaf for a second, by its tag: 1.27.4 is the first, and older ones do not start with
 * the directive. Opening it at every handshake costs nearly half of them with OpenSSL 3.0.
 */
export function knowsCertificateCache(image: string): boolean {
  const [, major, minor, patch] =
    /(?:^|\/)nginx(?:-unprivileged)?:(\d+)\.(\d+)(?:\.(\d+))?(?:[-@]|$)/.exec(image) ?? [];
  const version = [major, minor, patch ?? 0].map(Number);
  const first = [1, 27, 4];
  const differs = first.findIndex((part, at) => part !== version[at]);
  return differs < 0 || version[differs]! > first[differs]!;
}
