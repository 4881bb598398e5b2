// Names of hosts, as certificates, clients and servers know them.

import { isIP, isIPv6 } from "node:net";

import { textWithout } from "./values.ts";

/** A host, or all hosts one label below a domain. */
export const wildcardHost = textWithout((name) => whyNoWildcard(name));

/** A name by which clients ask for a certificate. */
export const clientsName = textWithout((name) =>
  isAddress(name)
    ? `"${name}" is an IP address, and clients send no server name for one. Give a host name.`
    : whyNoWildcard(name),
);

/** The name that a server proves. */
export const serverName = textWithout((name) => {
  if (name === "") return "Name the server as its certificate does: it is what the gateway verifies.";
  if (isAddress(name))
    return `"${name}" is an IP address, and the gateway verifies names only. Give a name from the server's certificate.`;
  if (!isName(name)) return `"${name}" is not a host name: give the name alone, without scheme, port or path.`;
  return whyDotted(name);
});

/** A node's host: a name or an address, an IPv6 one in brackets. */
export const nodeHost = textWithout((host) => {
  if (host === "") return "A node needs a host: its name or address.";
  if (isIPv6(host)) return `Write an IPv6 address in brackets: [${host}].`;
  if (isName(host) || isAddress(host)) return undefined;
  return `"${host}" is not a host name or address: give it alone, without scheme, port or path.`;
});

/**
 * Whether a host name is a public one. Names in the cluster are not: in their short form, a namespace is where a public
 * name's ending would be, so only endings count that no namespace has, and countries' behind a domain of two parts.
 */
export function isPublicName(host: string): boolean {
  const labels = host.toLowerCase().split(".");
  const ending = labels.at(-1) ?? "";
  if (labels.length < 2 || labels.includes("svc") || isAddress(host)) return false;
  return genericEndings.has(ending) || (labels.length > 2 && /^[a-z]{2}$/.test(ending));
}

const genericEndings = new Set(["com", "net", "org", "edu", "gov", "mil", "int", "info", "biz"]);

function whyNoWildcard(name: string): string | undefined {
  if (!/^(\*\.)?[0-9a-zA-Z-._]+$/.test(name)) return `"${name}" is not a host name; a wildcard is "*." and a domain.`;
  return whyDotted(name);
}

/** Neither certificates nor the names that clients send have the root's trailing dot. */
function whyDotted(name: string): string | undefined {
  return name.endsWith(".")
    ? `"${name}" ends with a dot, and certificates have none: write "${name.slice(0, -1)}".`
    : undefined;
}

function isAddress(name: string): boolean {
  return isIP(/^\[(.*)\]$/.exec(name)?.[1] ?? name) !== 0;
}

function isName(name: string): boolean {
  return /^[0-9a-zA-Z-._]+$/.test(name);
}
