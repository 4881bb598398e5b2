// Which generation a chain belongs to.

import type { X509Certificate } from "node:crypto";

import { rootOf } from "@mtls-everywhere/cluster-access";
import type { Plane } from "@mtls-everywhere/vocabulary/planes";

/** The trusted roots, by plane and generation. */
export type Certificates = Readonly<Partial<Record<Plane, Readonly<Record<string, readonly X509Certificate[]>>>>>;

/** The generation whose root a chain leads to; undefined when it is none of these. */
export function generationOf(
  chain: readonly X509Certificate[],
  roots: Readonly<Record<string, readonly X509Certificate[]>>,
): string | undefined {
  return Object.keys(roots).find((generation) => rootOf(chain, roots[generation]!) !== undefined);
}
