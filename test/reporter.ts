// mocha's spec output, with the numbers of passed, failed and skipped tests as the very last line.

import Mocha from "mocha";

/** How long leftovers of the tests may take to end, in milliseconds. */
const patience = 60_000;

export default class extends Mocha.reporters.Spec {
  override done(failures: number, end: (failures: number) => void): void {
    // First, as it makes mocha set its exit code at exit.
    end(failures);
    const { passes, failures: failed, pending } = this.stats;
    let left = 0;
    // At exit: leftovers of a test may still print after mocha's summary.
    process.once("exit", () => {
      if (left > 0) process.exitCode = 1;
      process.stdout.write(`${passes} passed, ${failed + left} failed, ${pending} skipped\n`);
    });
    // A process left by a test would keep this one running, and everything that waits for it.
    setTimeout(() => {
      left = 1;
      const what = [...new Set(process.getActiveResourcesInfo())].join(", ");
      process.stdout.write(
        `  1) The tests left something behind that is still running ${patience / 1000} s later: ${what}\n`,
      );
      process.exit();
    }, patience).unref();
  }
}
