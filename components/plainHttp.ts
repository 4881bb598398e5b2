// What the gateway does with a request without TLS: it is refused before a route is looked for, unless its host is named here.

/** Hosts of the gateway's listener without TLS, where no client can show a certificate. */
export interface PlainHttp {
  /** Hosts whose routes answer there, for every client. */
  readonly serve: readonly string[];
  /** Hosts whose clients are sent to the same address with `https`. */
  readonly redirect: readonly string[];
}

/** A gateway without such a listener. */
export const noPlainHttp: PlainHttp = { serve: [], redirect: [] };

/** Whether there is one. */
export function hasPlainHttp({ serve, redirect }: PlainHttp): boolean {
  return serve.length + redirect.length > 0;
}

/**
 * For nginx's http block: the status that a request ends with, empty if it goes on. APISIX's routes do not tell a listener from another,
 * so a host that asks for certificates would answer without. `$host` is what APISIX compares too: in lower case, from the request line
 * if that has one, without port and final dot. Expressions, since nginx does not start with a long name in its hash.
 */
export function plainMap({ serve, redirect }: PlainHttp): string {
  const hosts = (names: readonly string[], then: string) =>
    names.map((name) => ` "~^http:${name.replaceAll(".", "\\.")}\\z" ${then};`);
  const named = [...hosts(serve, '""'), ...hosts(redirect, "308")];
  return `map "$scheme:$host" $plain_http { default 403; "~^https:" "";${named.join("")} }`;
}

/** For the server block, which all of its listeners share: whatever the location, a request passes here first. */
export const plainSnippet =
  "if ($plain_http = 403) { return 403; }\nif ($plain_http = 308) { return 308 https://$host$request_uri; }\n";
