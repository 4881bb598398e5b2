// The roots of public authorities, as this machine trusts them.

import { getCACertificates } from "node:tls";

/** In PEM: those that Node.js brings, those of the operating system, and those of `NODE_EXTRA_CA_CERTS`. */
export function publicRoots(): string {
  return [...new Set([...getCACertificates("default"), ...getCACertificates("system")])].join("\n");
}
