// The soak's short form: leaves renew and roots rotate under load, and nothing is lost.

import { strictEqual as equal } from "node:assert/strict";

import { run, withoutLab } from "./ownLab.ts";

const minute = 60_000;

describe("the soak's short form", function () {
  this.timeout(12 * minute); // about three on an idle machine
  this.slow(1);

  it("loses nothing while every leaf renews and every root rotates", async function () {
    const reason = withoutLab();
    if (reason) {
      console.log(`      skipped: ${reason}`);
      return this.skip();
    }
    const { code, stdout, output } = await run(
      process.execPath,
      ["lab/soak/cli.ts", "--short", "--untimed"],
      {},
      11 * minute,
    );
    console.log(stdout.replaceAll(/^/gm, "      "));
    equal(code, 0, output);
  });
});
