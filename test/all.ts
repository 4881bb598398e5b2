// Runs all tests, as two mochas at a time: those that bring up a platform in a lab wait a lot, and the others fit in between. The soak,
// which measures how long things take, comes last and alone.

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

  constructor(files: readonly string[]) {
    // Mocha gets colours if this process has them, and a group of its own, so that it ends as a whole.
    const colours = process.stdout.isTTY ? ["--color"] : [];
    const { pid, ended } = startNode([mocha, ...colours, ...files], {
      group: true,
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

/** Starts what comes later, unless the tests have been interrupted. */
function next(files: readonly string[]): Run {
  if (process.exitCode) process.exit();
  return new Run(files);
}

const soak = ["test/e2e/soak.test.ts"];
/** Suites that come after the other tests, so that both mochas take about as long. */
const later = ["test/e2e/roles.test.ts", "test/e2e/upstreamTls.test.ts", "test/e2e/stateHeld.test.ts"];
const isEndToEnd = (file: string) => file.startsWith("test/e2e/");
const ownTurn = new Set([...soak, ...later]);
const endToEnd = new Run(testFiles.filter((file) => isEndToEnd(file) && !ownTurn.has(file)));
const others = new Run(testFiles.filter((file) => !isEndToEnd(file)));

// Two at once would be unreadable: one is shown live, then the other.
others.show();
await others.ended;
const rest = next(later);
endToEnd.show();
await endToEnd.ended;
rest.show();
await rest.ended;
const last = next(soak);
last.show();
await last.ended;

const runs = [others, endToEnd, rest, last];
for (const { failures } of runs.slice(0, -1)) process.stdout.write(failures);
const [passed, failed, skipped] = [0, 1, 2].map((at) => runs.reduce((sum, { counts }) => sum + counts[at]!, 0));
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exitCode ||= Math.max(...runs.map(({ code }) => code));
