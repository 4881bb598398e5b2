// Clients to the gateway: a name that admits other clients is no way to a host that does not.

import type { PlatformOutputs } from "../../../outputs.ts";
import type { Check } from "../check.ts";
import { observe } from "../http.ts";
import { requestFor } from "../matrix/servers.ts";
import type { Shown } from "../stage.ts";

/** A name of the gateway that admits clients of the upstream plane, where its certificate is self-signed. */
const otherClients: Shown = "self-signed";

export function gatewayLines({ gateway }: PlatformOutputs): readonly Check[] {
  return [
    {
      ...{ hop: "gateway", case: "SNI that admits other clients, Host of another", threat: "T2", at: gateway },
      expect: [{ kind: "answer", status: 400 }],
      ready: ({ stage }) => stage.route(otherClients),
      observe: async ({ access, material, stage }, at, signal) => {
        const { name, pair } = (await stage.route(otherClients)).server;
        const client = { ca: pair?.cert ?? "", pair: await material.leaves.of("client", "upstream") };
        return observe(access, { ...at, serverName: name }, client, requestFor(gateway.url), signal);
      },
    },
  ];
}
