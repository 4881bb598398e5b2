/** A platform in daily use while every leaf renews again and again: nothing to change, nothing wrong. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Form } from "./forms.ts";
import { renewAll, type Round } from "./rounds.ts";
import type { Scene } from "./scene.ts";
import type { Timeline } from "./timeline.ts";

export interface Steady {
  readonly seconds: number;
  readonly rounds: readonly Round[];
  /** How often each command ran, and what went wrong. */
  readonly commands: Readonly<Record<string, { readonly runs: number; readonly problems: readonly string[] }>>;
}

type Plan = NonNullable<Form["steady"]>;

export async function steady(scene: Scene, plan: Plan, timeline: Timeline, signal: AbortSignal): Promise<Steady> {
  const { platform } = scene;
  const start = Date.now();
  const rounds: Round[] = [];
  let over = false;
  const renewals = (async () => {
    for (let next = Date.now(); !over; next += plan.everySeconds * 1000) {
      await sleep(Math.max(0, next - Date.now()), undefined, { signal });
      if (!over) rounds.push(await renewAll(scene, signal));
    }
  })();
  renewals.catch(() => undefined); // its failure is thrown below
  const commands = {
    preview: () => platform.pulumi("preview", "--expect-no-changes"),
    refresh: () => platform.pulumi("refresh", "--expect-no-changes", "--yes", "--skip-preview"),
    verify: () => platform.verify(),
  };
  const found = Object.fromEntries(Object.keys(commands).map((name) => [name, { runs: 0, problems: [] as string[] }]));
  try {
    for (let turn = 1; turn <= plan.turns; turn++) {
      const due = start + ((turn - 1) * plan.seconds * 1000) / plan.turns;
      await sleep(Math.max(0, due - Date.now()), undefined, { signal });
      timeline.say(`turn ${turn} of ${plan.turns}: preview, refresh, verify`);
      for (const [name, run] of Object.entries(commands)) {
        const { problem } = await run();
        const entry = found[name]!;
        entry.runs += 1;
        if (problem !== undefined) entry.problems.push(`turn ${turn}: ${problem}`);
      }
    }
    await sleep(Math.max(0, start + plan.seconds * 1000 - Date.now()), undefined, { signal });
  } finally {
    over = true;
  }
  await renewals;
  return { seconds: (Date.now() - start) / 1000, rounds, commands: found };
}
