// mocha's spec output, and as the very last line how many tests passed, failed and were skipped.

import Mocha from "mocha";

/** How long what the tests left behind may take to end, ms. */
const patience = 60_000;

export default class extends Mocha.reporters.Spec {
  override done(failures: number, end: (failures: number) => void): void {
    // First, as it has mocha's own exit code set at exit.
    end(failures);
    const { passes, failures: failed, pending } = this.stats;
    let left = 0;
    // At exit: what a test left behind may still print something after mocha's summary.
    process.once("exit", () => {
      if (left > 0) process.exitCode = 1;
      process.stdout.write(`${passes} passed, ${failed + left} failed, ${pending} skipped\n`);
    });
    // A process that a test left behind would keep this one, and all that wait for it.
    setTimeout(() => {
      left = 1;
      const what = [...new Set(process.getActiveResourcesInfo())].join(", ");
      process.stdout.write(`  1) The tests left something behind that runs ${patience / 1000} s after them: ${what}\n`);
      process.exit();
    }, patience).unref();
  }
}
