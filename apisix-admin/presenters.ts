// Who presents a client certificate to servers: the objects in the gateway that name it by its id.

import type { Body } from "./body.ts";
import type { Referrers } from "./kinds/kind.ts";
import { isObject } from "./kinds/values.ts";

/** The objects that name it, such as `upstreams/hello`. */
export async function presenters(id: string, referrers: Referrers): Promise<readonly string[]> {
  const names = (holder: unknown) =>
    isObject(holder) && isObject(holder["tls"]) && holder["tls"]["client_cert_id"] === id;
  const found = await Promise.all(
    (["upstreams", "services", "routes"] as const).map(async (kind) =>
      (await referrers.list(kind))
        .filter((object: Body) => names(object) || names(object["upstream"]))
        .map((object) => `${kind}/${String(object["id"])}`),
    ),
  );
  return found.flat();
}
