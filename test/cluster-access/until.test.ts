// Waiting for a condition: what it returns, and what ends it.

import { deepStrictEqual as same, ok, rejects, strictEqual as equal } from "node:assert/strict";

import { until } from "../../cluster-access/until.ts";

describe("waiting for a condition", () => {
  it("returns the first result, and looks no further", async () => {
    const seen = [undefined, false, "there", "later"] as const;
    let looks = 0;
    equal(await until(async () => seen[looks++], { within: 60_000, pause: 1 }), "there");
    equal(looks, 3);
  });

  it("looks once even without time, and once more when time is up", async () => {
    let looks = 0;
    const never = async () => {
      looks += 1;
      return false as const;
    };
    same([await until(never, { within: 0 }), looks], [undefined, 1]);
    equal(await until(never, { within: 5, pause: 60_000 }), undefined);
    ok(looks > 2);
  });

  it("ends with what a look throws, or with the signal's reason", async () => {
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
