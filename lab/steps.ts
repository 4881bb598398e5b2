/** The steps of a command, shown as they run: parts that are made or come from the cache, with their times. */
import {
  type DefaultRenderer,
  Listr,
  type ListrTask,
  type ListrTaskWrapper,
  PRESET_TIMER,
  type SimpleRenderer,
} from "listr2";
import { build, type ProgramName, programs } from "./binaries.ts";
import type { Part } from "./cache.ts";
import type { Piece } from "./pulumi.ts";

export interface State {
  parts: Partial<Record<ProgramName | "debian" | "knot" | "chart" | "approverChart" | "promtool" | "chromium", string>>;
  images: { archive: string; name?: string }[];
  pieces: Piece[];
}
export type Step = ListrTask<State, typeof DefaultRenderer, typeof SimpleRenderer>;
export type Reporter = ListrTaskWrapper<State, typeof DefaultRenderer, typeof SimpleRenderer>;

const terminal = process.stdout.isTTY;

/** A step that makes one part; its title says whether the part came from the cache. */
export function part(
  name: keyof State["parts"],
  title: string,
  make: (progress: (line: string) => void) => Promise<Part>,
): Step {
  return {
    title,
    task: async ({ parts }, task) => {
      const { path, made } = await make(reporter(task));
      parts[name] = path;
      if (!made) task.title = `${title} (from the cache)`;
    },
  };
}

export const program = (name: ProgramName) =>
  part(name, `build ${programs[name].title}`, (progress) => build(name, progress));

/** Shows progress lines as they come on a terminal, one every fifteen seconds elsewhere. */
export function reporter(task: Reporter): (line: string) => void {
  const start = Date.now();
  let next = terminal ? 0 : start + 15_000;
  return (line) => {
    if (Date.now() < next) return;
    next = Date.now() + (terminal ? 200 : 15_000);
    task.output = `${line}, ${Math.round((Date.now() - start) / 1000)} s`;
  };
}

let reported: unknown;

/** Whether the step list has already shown the error. */
export const isReported = (error: unknown): boolean => error === reported;

/** Runs the steps in sequence, and returns what they gathered. */
export async function run(steps: Step[]): Promise<State> {
  const state: State = { parts: {}, images: [], pieces: [] };
  const list = new Listr<State, "default", "simple">(steps, {
    ctx: state,
    renderer: "default",
    fallbackRenderer: "simple",
    rendererOptions: { timer: PRESET_TIMER, collapseErrors: false },
    fallbackRendererOptions: { timer: PRESET_TIMER },
  });
  return list.run().catch((error: unknown) => {
    reported = error;
    throw error;
  });
}
