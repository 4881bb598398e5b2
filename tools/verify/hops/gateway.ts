// Clients to the gateway: only a valid leaf from the edge plane gets a response.

import type { Request } from "@mtls-everywhere/cluster-access";
import { type TlsVersion, tlsVersions } from "@mtls-everywhere/vocabulary/tlsPolicy";

import type { PlatformOutputs } from "../../../outputs.ts";
import type { PlatformAccess } from "../access.ts";
import type { AlertName, Check } from "../check.ts";
import { observe } from "../http.ts";
import type { Material } from "../material.ts";
import { sessionChecks } from "../sessions.ts";

export function gatewayChecks(outputs: PlatformOutputs, material: Material, access: PlatformAccess): readonly Check[] {
  const { gateway, clients } = outputs;
  const { roots, edge, upstream, expiredEdge } = material;
  // The checks' own leaf names nobody on the list: only where every client may call is it answered.
  const listed = clients !== undefined && clients.allowed !== "every client";
  const client = listed ? material.client : edge;
  const answered = client === undefined ? 403 : 200;
  const request = requestFor(gateway.url);
  const checks: Check[] = [];

  for (const version of tlsVersions.toReversed()) {
    const add = (name: string, expect: Check["expect"], pair: typeof edge | undefined | typeof expiredEdge) =>
      checks.push({
        hop: "gateway",
        case: `${name}, ${version.replace("v", " ")}`,
        expect,
        ...(pair instanceof Promise ? { ready: pair } : {}),
        observe: async (signal) => {
          const presented = await pair;
          return observe(
            access,
            gateway,
            { ca: roots.edge, minVersion: version, maxVersion: version, ...(presented ? { pair: presented } : {}) },
            request,
            signal,
          );
        },
      });
    if (client) add("edge certificate", [{ kind: "answer", status: 200 }], client);
    if (listed) add("edge certificate of a client that is not allowed", [{ kind: "answer", status: 403 }], edge);
    add("no certificate", [alert(missingCertificate[version])], undefined);
    add("certificate of the upstream plane", [alert("unknown_ca")], upstream);
    add("expired edge certificate", [alert("certificate_expired")], expiredEdge);
  }

  checks.push(
    ...sessionChecks(access, {
      ...{ hop: "gateway", to: gateway, client: { ca: roots.edge, pair: client ?? edge }, request },
      status: answered,
    }),
    {
      hop: "gateway",
      case: "name that is not served",
      expect: [alert("internal_error")],
      observe: (signal) =>
        observe(
          access,
          { ...gateway, serverName: "not-served.invalid" },
          { ca: roots.edge, pair: edge },
          request,
          signal,
        ),
    },
    {
      hop: "gateway",
      case: "client that trusts the upstream plane's roots",
      expect: [{ kind: "untrusted" }],
      observe: (signal) => observe(access, gateway, { ca: roots.upstream, pair: edge }, request, signal),
    },
  );
  return checks;
}

/** The request for a URL of the gateway. */
export function requestFor(url: string): Request {
  const { host, pathname, search } = new URL(url);
  return { path: pathname + search, headers: { host } };
}

const missingCertificate = {
  "TLSv1.3": "certificate_required",
  "TLSv1.2": "handshake_failure",
} as const satisfies Record<TlsVersion, AlertName>;

function alert(name: AlertName) {
  return { kind: "alert", alert: name } as const;
}
