// Runs all tests, as three mochas in parallel: those that bring up platforms in labs wait a lot, so two fit side by side, and
// the others in between.

import { mocha, startNode, testFiles } from "./mocha.ts";

/** The last line of `test/reporter.ts`. */
const counts = /^(\d+) passed, (\d+) failed, (\d+) skipped\n/m;

const running = new Set<number>();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    for (const pid of running) process.kill(-pid, signal);
    process.exitCode = 130;
  });

/** Runs test files and returns what they printed. Output that arrives while hidden is printed once shown. */
class Run {
  output = "";
  code = 1;
  readonly ended: Promise<void>;
  #shown: number | undefined;

  constructor(files: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    // Mocha gets colours if this process has them, and a group of its own, so that it ends as a whole.
    const colours = process.stdout.isTTY ? ["--color"] : [];
    const { pid, ended } = startNode([mocha, ...colours, ...files], {
      ...{ env, group: true },
      heard: (output) => {
        this.output = output;
        if (this.#shown !== undefined) this.show();
      },
    });
    running.add(pid);
    this.ended = ended.then(({ code }) => {
      running.delete(pid);
      this.code = code ?? 1;
    });
  }

  show(): void {
    process.stdout.write(this.output.slice(this.#shown).replace(counts, ""));
    this.#shown = this.output.length;
  }

  /** Passed, failed and skipped; a mocha that did not finish counts as one failure. */
  get counts(): readonly number[] {
    return counts.exec(this.output)?.slice(1).map(Number) ?? [0, 1, 0];
  }

  get failures(): string {
    const at = this.output.search(/^ {2}\d+ failing$/m);
    return at < 0 ? "" : this.output.slice(at).replace(counts, "");
  }
}

const isEndToEnd = (file: string) => file.startsWith("test/e2e/");
/** About half of the end-to-end suites, by the time they take. */
const isFirstHalf = (file: string) => /platform|roles/.test(file);
const endToEnd = testFiles.filter(isEndToEnd);
const runs = [
  new Run(testFiles.filter((file) => !isEndToEnd(file))),
  new Run(endToEnd.filter(isFirstHalf)),
  new Run(
    endToEnd.filter((file) => !isFirstHalf(file)),
    { ...process.env, E2E_LAB: ".labs/test" },
  ),
];

// Several at once would be unreadable: one is shown live, then the next.
for (const run of runs) {
  run.show();
  await run.ended;
}
for (const run of runs.slice(0, -1)) process.stdout.write(run.failures);
const [passed, failed, skipped] = [0, 1, 2].map((at) => runs.reduce((sum, run) => sum + run.counts[at]!, 0));
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exitCode ||= Math.max(...runs.map(({ code }) => code));
