// Who may call the Admin API: the clients whose subject its server block names, whatever else the admin plane has signed.

import { type Identity, subjectOf } from "@mtls-everywhere/vocabulary/identities";

/**
 * For the Admin API's server block. nginx judges it after the certificate and before APISIX looks at the key: 403. An expression, since
 * the maps of APISIX's template (3.18) come first and fix the size of their keys, which a long subject exceeds.
 */
export function adminCallersSnippet(callers: readonly Identity[]): string {
  const subjects = callers.map((caller) => subjectOf(caller).replaceAll(".", "\\."));
  return `if ($ssl_client_s_dn !~ "^(?:${subjects.join("|")})$") { return 403; }\n`;
}
