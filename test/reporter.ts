// mocha's spec output, and as the very last line how many tests passed, failed and were skipped.

import Mocha from "mocha";

export default class extends Mocha.reporters.Spec {
  override done(failures: number, end: (failures: number) => void): void {
    const { passes, failures: failed, pending } = this.stats;
    // At exit: what a test left behind may still print something after mocha's summary.
    process.once("exit", () => process.stdout.write(`${passes} passed, ${failed} failed, ${pending} skipped\n`));
    end(failures);
  }
}
