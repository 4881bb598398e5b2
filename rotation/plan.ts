// Decides whether a generation of roots may become active, or be retired, from what is live: the reasons against it, in sentences.

import { planes } from "@mtls-everywhere/vocabulary/planes";

import { generationsIn, isOurs, type Live, type LiveRoots } from "./live.ts";

/** What the configuration asks for. */
export interface Wanted {
  readonly active: string;
  readonly trusted: readonly string[];
}

/** Generations that would leave the bundles. */
export function retired(roots: LiveRoots, wanted: Wanted): string[] {
  return generationsIn(roots).filter((name) => !wanted.trusted.includes(name));
}

/** Why a generation that no bundle has yet cannot be active; undefined before the first `up`, and where each bundle has it. */
export function unpreparedRefusal(roots: LiveRoots, wanted: Wanted, namespace: string): string | undefined {
  const there = planes.filter((plane) => roots[plane]);
  const lacking = there.filter((plane) => roots[plane]![wanted.active] === undefined);
  if (lacking.length === 0) return undefined;
  const known = generationsIn(roots);
  const trusted = [...new Set([...known, ...wanted.trusted])];
  return (
    `Generation "${wanted.active}" of the roots cannot become active: it was never prepared. ` +
    `Its roots are not in ${lacking.map((plane) => `ConfigMap ${namespace}/${plane}-trust`).join(", ")}.\n` +
    `Nothing was changed. Prepare it first: pki.root.active: "${known[0] ?? wanted.trusted[0]}", pki.root.trusted: ${listed(trusted)}, then run pulumi up. ` +
    `Activate it in the update after that: docs/rotation.md.`
  );
}

/** Why the generation cannot become active. */
export function activationRefusal(live: Live, { active }: Wanted): string | undefined {
  const holders = lacking(live, active);
  if (holders.length === 0) return undefined;
  return (
    `Generation "${active}" of the roots cannot become active yet. These lack its root and would refuse its leaves:\n` +
    `${lines(holders)}\n` +
    `Nothing was changed. Run pulumi up in the stacks that own these (in this one, with the previous active generation), then try again. ` +
    whatIsLeft
  );
}

/** Why generations cannot leave the bundles. */
export function retirementRefusal(live: Live, wanted: Wanted): string | undefined {
  const leaving = retired(live.roots, wanted);
  const holders = stillNeeding(live, leaving, wanted.active);
  if (leaving.length === 0 || holders.length === 0) return undefined;
  const names = leaving.map((name) => `"${name}"`).join(", ");
  return (
    `Generation ${names} of the roots cannot be retired yet. It is still needed, or may be:\n` +
    `${lines(holders)}\n` +
    `Nothing was changed. Keep ${names} in pki.root.trusted until the stacks that own these have run pulumi up. ` +
    whatIsLeft
  );
}

const whatIsLeft = "What is left: node tools/rotate/cli.ts status";

/** Who still needs generations that are to be retired while another is active, or could not be checked. */
export function stillNeeding(live: Live, leaving: readonly string[], active: string): string[] {
  const holders = [...leaving.flatMap((name) => needing(live, name)), ...lacking(live, active), ...unchecked(live)];
  return [...new Set(holders)];
}

/** Bundles, pods and objects of the gateway without a generation's root, and those that could not be checked. */
export function lacking({ roots, bundles, pods, objects }: Live, generation: string): string[] {
  const lacks = (plane: (typeof planes)[number], digests: readonly string[]) =>
    isOurs(plane, digests, roots) && !(roots[plane]?.[generation] ?? [""]).every((root) => digests.includes(root));
  return [
    ...bundles
      .filter(({ plane, roots: digests }) => lacks(plane, digests))
      .map(({ plane, namespace, name }) => `ConfigMap ${namespace}/${name} lacks the ${plane} root`),
    ...pods.flatMap(({ namespace, name, started }) =>
      started === undefined
        ? [`Pod ${namespace}/${name} does not say which roots it started with`]
        : planes
            .filter((plane) => lacks(plane, started[plane] ?? []))
            .map((plane) => `Pod ${namespace}/${name} started without the ${plane} root`),
    ),
    ...(typeof objects === "string"
      ? [`The gateway's certificates could not be checked: ${objects}`]
      : objects
          .filter(({ accepts }) => accepts !== undefined && lacks("edge", accepts))
          .map(({ id }) => `The gateway's ssls/${id} accepts clients without the edge root`)),
  ];
}

/** Leaves of a generation, and who still serves or presents one. */
function needing({ leaves, servers, objects }: Live, generation: string): string[] {
  return [
    ...leaves.flatMap(({ kind, namespace, name, wanted, issued, unsure }) =>
      wanted === generation
        ? [`${kind} ${namespace}/${name} names the issuer of generation "${generation}"`]
        : issued === generation
          ? [`${kind} ${namespace}/${name} still holds a leaf of generation "${generation}"`]
          : unsure
            ? [`${kind} ${namespace}/${name} has not been issued by generation "${wanted}" yet`]
            : [],
    ),
    ...servers
      .filter((server) => server.generation === generation)
      .map(
        ({ namespace, pod, port }) =>
          `Pod ${namespace}/${pod} serves a leaf of generation "${generation}" on port ${port}`,
      ),
    ...(typeof objects === "string" ? [] : objects)
      .filter((object) => object.generation === generation)
      .map(({ id }) => `The gateway's ssls/${id} holds a leaf of generation "${generation}"`),
  ];
}

function unchecked({ servers }: Live): string[] {
  return servers.flatMap(({ namespace, pod, port, unchecked }) =>
    unchecked === undefined ? [] : [`Pod ${namespace}/${pod} could not be checked on port ${port}: ${unchecked}`],
  );
}

function lines(holders: readonly string[]): string {
  return holders.map((holder) => `  ${holder}`).join("\n");
}

/** A list as YAML. */
export function listed(names: readonly string[]): string {
  return `[${names.map((name) => `"${name}"`).join(", ")}]`;
}
