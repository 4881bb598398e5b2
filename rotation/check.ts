// The check before an update: a rotation of roots proceeds only when nobody is left behind.

import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";
import { RunError } from "@pulumi/pulumi";

import { activationRefusal, retired, retirementRefusal, unpreparedRefusal, type Wanted } from "./plan.ts";
import { type LivePlatform, RotationReader } from "./reader.ts";

/**
 * Compares the configuration with what is live. Looks at all namespaces only when a generation is about to become active or be retired.
 * @throws RunError, before anything is planned, when a server, a bundle or a leaf would be left behind, or could not be checked.
 */
export async function checkRotation(cluster: Cluster, platform: LivePlatform, wanted: Wanted): Promise<void> {
  try {
    const refusal = await refusalOf(new RotationReader(cluster, platform), platform, wanted);
    if (refusal !== undefined) throw new RunError(refusal);
  } catch (error) {
    if (RunError.isInstance(error)) throw error;
    throw new RunError(`The root rotation cannot be checked: ${(error as Error).message}\nNothing was changed.`);
  }
}

async function refusalOf(
  reader: RotationReader,
  { namespace }: LivePlatform,
  wanted: Wanted,
): Promise<string | undefined> {
  const own = await reader.ownBundles();
  const unprepared = unpreparedRefusal(own.roots, wanted, namespace);
  const overlap = Object.values(own.roots).some((generations) => Object.keys(generations).length > 1);
  // A bundle that lost the roots of the generation that already signs was damaged: an update may repair it.
  const activating = (overlap || unprepared !== undefined) && !(await reader.signsAlready(wanted.active));
  if (activating && unprepared !== undefined) return unprepared;
  const leaving = retired(own.roots, wanted).length > 0;
  if (!leaving && !activating) return undefined;
  const live = await reader.live(own);
  return (
    (activating ? activationRefusal(live, wanted) : undefined) ??
    (leaving ? retirementRefusal(live, wanted) : undefined)
  );
}
