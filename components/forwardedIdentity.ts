// How an upstream learns which client a request comes from: the gateway says so in headers, and nobody else can.

/** Envoy's header, which many servers read: `Subject="…";Cert="…"`, the certificate as URL-encoded PEM. */
export const forwardedHeader = "X-Forwarded-Client-Cert";

/** RFC 9440's header: the client's certificate alone, as `:base64 of its DER:`. */
export const certificateHeader = "Client-Cert";

/** RFC 9440's header for the certificates above it, which nginx does not keep: nobody sends it. */
const chainHeader = "Client-Cert-Chain";

/** For nginx's http block: empty unless a client has been verified. */
export const forwardedMap =
  `map $ssl_client_verify $forwarded_client { default ""; ` +
  `SUCCESS 'Subject="$ssl_client_s_dn";Cert="$ssl_client_escaped_cert"'; }`;

/**
 * For the location that every request enters; `program` is where client-cert.lua is. It acts on the request itself, before a route is chosen, so that it holds for every
 * upstream, whichever location of APISIX's template forwards to it. An empty value removes the header.
 */
export function forwardedSnippet(program: string): string {
  const removed = [chainHeader, ...[forwardedHeader, certificateHeader, chainHeader].flatMap(lookalikes)];
  return [
    `set_by_lua_file $client_certificate ${program};`,
    `more_set_input_headers "${forwardedHeader}: $forwarded_client";`,
    `more_set_input_headers "${certificateHeader}: $client_certificate";`,
    // APISIX lets underscores in names pass, and servers that turn headers into variables do not tell them from hyphens.
    ...removed.map((name) => `more_set_input_headers "${name}: ";`),
  ].join("\n");
}

/** The same name with underscores in place of some of its hyphens. */
function lookalikes(name: string): string[] {
  const [first = "", ...rest] = name.split("-");
  const all = rest.reduce((begun, word) => begun.flatMap((one) => [`${one}-${word}`, `${one}_${word}`]), [first]);
  return all.filter((one) => one !== name);
}
