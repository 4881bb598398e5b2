// Runs all tests, as two mochas at once: those that bring a platform up in a lab wait a lot, and the others fit in between.

import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { join, resolve } from "node:path";

const checkout = resolve(import.meta.dirname, "..");
const mocha = join(checkout, "node_modules/mocha/bin/mocha.js");
/** The last line of `test/reporter.ts`. */
const counts = /^(\d+) passed, (\d+) failed, (\d+) skipped\n/m;

const running = new Set<number>();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    for (const pid of running) process.kill(-pid, signal);
    process.exitCode = 130;
  });

/** Runs test files, and gives what they printed. What is printed while nobody sees it comes as soon as somebody does. */
class Run {
  output = "";
  code = 1;
  readonly ended: Promise<void>;
  #shown: number | undefined;

  constructor(files: readonly string[]) {
    // Mocha's colours go where this one's output does; a group of its own ends as a whole.
    const colours = process.stdout.isTTY ? ["--color"] : [];
    const child = spawn(process.execPath, [mocha, ...colours, ...files], {
      cwd: checkout,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const { pid = 0 } = child;
    running.add(pid);
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
        if (this.#shown !== undefined) this.show();
      });
    this.ended = new Promise((done) =>
      child.on("close", (code) => {
        running.delete(pid);
        this.code = code ?? 1;
        done();
      }),
    );
  }

  show(): void {
    process.stdout.write(this.output.slice(this.#shown).replace(counts, ""));
    this.#shown = this.output.length;
  }

  /** Passed, failed and skipped; a mocha that did not come to its end has failed once. */
  get counts(): readonly number[] {
    return counts.exec(this.output)?.slice(1).map(Number) ?? [0, 1, 0];
  }

  get failures(): string {
    const at = this.output.search(/^ {2}\d+ failing$/m);
    return at < 0 ? "" : this.output.slice(at).replace(counts, "");
  }
}

const files = globSync(["test/**/*.test.ts", "lab/test/**/*.test.ts"], { cwd: checkout }).sort();
const isEndToEnd = (file: string) => file.startsWith("test/e2e/");
const endToEnd = new Run(files.filter(isEndToEnd));
const others = new Run(files.filter((file) => !isEndToEnd(file)));

// Two at once cannot be read: one is seen as it goes, then the other.
others.show();
await others.ended;
endToEnd.show();
await endToEnd.ended;
process.stdout.write(others.failures);
const [passed, failed, skipped] = [0, 1, 2].map((at) => others.counts[at]! + endToEnd.counts[at]!);
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exitCode ||= Math.max(others.code, endToEnd.code);
