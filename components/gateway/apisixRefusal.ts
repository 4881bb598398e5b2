// A route in the gateway that leads nowhere: it refuses whom another route does not answer.

import * as pulumi from "@pulumi/pulumi";

import { identityOf, providerOf } from "../dynamicProvider.ts";
import type { ApisixRouteArgs } from "./apisixRoute.ts";

const provider = providerOf("routes");

/**
 * Answers 403 to the requests of a route, as it would be without the clients that it is limited to: what its priority is higher for
 * never gets here. Without it, another route of the host with a shorter path could answer. It has no upstream, so nothing that
 * happens to its plugin opens a way.
 */
export class ApisixRefusal extends pulumi.dynamic.Resource {
  constructor(name: string, route: ApisixRouteArgs, opts?: pulumi.CustomResourceOptions) {
    const { admin, hosts, uri, uris, methods, priority, vars, enabled } = route;
    super(
      provider,
      name,
      {
        ...identityOf(name, { admin }, opts),
        ...{ hosts, uris: uris ?? [uri], methods, vars, enabled, refuse: true },
        priority: pulumi.output(priority).apply((own = 0) => own - 1),
        description: "Refuses clients that the route of the next higher priority does not allow",
        live: undefined,
      },
      opts,
      "mtls",
      "ApisixRefusal",
    );
  }
}
