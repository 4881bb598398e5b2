// Waiting for a condition: what is given, and what ends it.

import { deepStrictEqual as same, ok, rejects, strictEqual as equal } from "node:assert/strict";

import { until } from "../../cluster-access/until.ts";

describe("waiting for a condition", () => {
  it("gives what is seen first, and looks no more", async () => {
    const seen = [undefined, false, "there", "later"] as const;
    let looks = 0;
    equal(await until(async () => seen[looks++], { within: 60_000, pause: 1 }), "there");
    equal(looks, 3);
  });

  it("looks once even without time, and once more when it is over", async () => {
    let looks = 0;
    const never = async () => {
      looks += 1;
      return false as const;
    };
    same([await until(never, { within: 0 }), looks], [undefined, 1]);
    equal(await until(never, { within: 5, pause: 60_000 }), undefined);
    ok(looks > 2);
  });

  it("ends with what a look throws, and with the reason of the signal", async () => {
    const broken = async () => {
      throw new Error("broken");
    };
    await rejects(until(broken, { within: 60_000 }), { message: "broken" });
    const stop = new AbortController();
    const waiting = until(async () => false as const, { within: 60_000, pause: 60_000, signal: stop.signal });
    stop.abort(new Error("interrupted"));
    await rejects(waiting, { message: "interrupted" });
  });
});
