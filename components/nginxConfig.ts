// nginx.conf of an upstream that serves files and only answers the callers it names.

import type { Identity } from "@mtls-everywhere/vocabulary/identities";

import { certificateHeader, forwardedHeader } from "./forwardedIdentity.ts";
import { mutualTls, nginxFolders, nginxProgram } from "./nginxServer.ts";

/** Mount points that the configuration refers to. */
export const nginxPaths = { ...nginxFolders, files: "/srv", leaf: "/tls" } as const;

/** Below it, the answer is what the gateway has said of the client: verify's own requests are there, and see whether it can be forged. */
const toldPath = "/.verify/";

/** The configuration: one server, which shows a client what the gateway says of it, and files to all others. */
export function nginxConfig(callers: readonly Identity[], image: string): string {
  const server = `${mutualTls(nginxPaths.leaf)}
    root ${nginxPaths.files};
    index index.json;
    default_type application/json;
    location ${toldPath} {
      default_type text/plain;
      return 200 "${[forwardedHeader, certificateHeader].map((name) => `${received(name)}\\n`).join("")}";
    }`;
  return nginxProgram(callers, image, [server]);
}

/** nginx's variable for a header of the request. */
function received(header: string): string {
  return `$http_${header.toLowerCase().replaceAll("-", "_")}`;
}
