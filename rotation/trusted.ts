// The generations of roots that the program works with: those of the configuration, once nobody would be left behind.

import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";

import {
  founderOf,
  type Generation,
  keepGenerations,
  type Made,
  type NamedGenerations,
} from "../components/generations.ts";
import { checkRotation } from "./check.ts";
import type { AdminOf } from "./gateway.ts";

/** What the configuration says of them, and of where their leaves are. */
interface Environment extends Pick<Made, "trustDomain"> {
  readonly namespace: string;
  readonly gateway: { readonly host: string };
  readonly pki: Pick<Made, "algorithm" | "rootDuration"> & { readonly root: NamedGenerations & Pick<Made, "kind"> };
}

export interface TrustedGenerations {
  readonly generations: readonly Generation[];
  /** Name of the stack's first one, trusted or not. */
  readonly founder: string;
}

/**
 * The generations of this environment.
 * @throws RunError before anything else is planned: see `checkRotation` and `keepGenerations`.
 */
export async function trustedGenerations(
  name: string,
  cluster: Cluster,
  admin: AdminOf,
  { namespace, gateway, pki, trustDomain }: Environment,
): Promise<TrustedGenerations> {
  const { root, algorithm, rootDuration } = pki;
  const founder = await founderOf(name, root);
  const platform = { namespace, founder, host: gateway.host, admin };
  // First, since a refusal must not leave a record of a generation that is never created.
  await checkRotation(cluster, platform, root);
  const made = { kind: root.kind, algorithm, rootDuration, trustDomain };
  return { founder, generations: await keepGenerations(name, founder, root, made) };
}
