// A rotation's status for people: a line per plane and generation, then what it waits for and what comes next.

import type { Phase, Status } from "../../rotation/phase.ts";
import { listed } from "../../rotation/plan.ts";
import { table } from "../table.ts";

/** The whole text, newline at the end. */
export function render(status: Status, stack: string): string {
  const rows = status.planes.flatMap(({ plane, generations }) =>
    generations.map(({ name, signs, roots, trusting, lacking, leaves, servers }, index) => [
      index === 0 ? plane : "",
      signs ? `${name}, signs` : name,
      roots.map((root) => root.slice(0, 12)).join(" "),
      `${trusting.length} of ${trusting.length + lacking.length}`,
      String(leaves.length),
      String(servers.length),
    ]),
  );
  const heads = ["Plane", "Generation", "Root", "Trusted by", "Leaves", "Servers"];
  const older = status.planes.flatMap(({ plane, generations }) =>
    generations.length > 1
      ? generations.map(({ name, leaves }) => `${plane}, ${name}: ${leaves.join(", ") || "none"}`)
      : [],
  );
  return [
    ...table(heads, rows),
    "",
    ...(older.length > 0 ? ["Leaves by plane and generation:", ...older.map((one) => `  ${one}`), ""] : []),
    ...(status.waitsFor.length > 0 ? ["Waits for:", ...status.waitsFor.map((one) => `  ${one}`), ""] : []),
    ...(status.outdated.length > 0
      ? ["Behind:", ...status.outdated.map((one) => `  ${one}: pulumi up there`), ""]
      : []),
    sentences[status.phase](status, stack),
    "",
  ].join("\n");
}

const edit = ({ next }: Status, stack: string) =>
  next === undefined
    ? ""
    : ` pki.root.active: "${next.active}" and pki.root.trusted: ${listed(next.trusted)} in Pulumi.${stack}.yaml, then pulumi up -s ${stack}`;

/** The phase, and what to do next. */
const sentences: Readonly<Record<Phase, (status: Status, stack: string) => string>> = {
  settled: (status, stack) => `Settled. To start a rotation:${edit(status, stack)}`,
  preparing: (_, stack) => `Preparing. Next: pulumi up -s ${stack} and in the stacks that own what it waits for.`,
  prepared: (status, stack) => `Prepared. Next:${edit(status, stack)}`,
  activated: (_, stack) =>
    `Activated. Next: pulumi up -s ${stack} and in the stacks that own what it waits for. To go back: the previous pki.root.active.`,
  retirable: (status, stack) => `Activated, and nobody needs the older generation. Next:${edit(status, stack)}`,
};
