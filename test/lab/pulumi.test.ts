import assert from "node:assert/strict";

import { merge } from "../../lab/pulumi.ts";

describe("the lab's copy of the configuration", () => {
  it("lays settings over objects, and over all else in their place", () => {
    const tree = { "p:domain": "dev", "p:upstream": { files: ["a"], image: "nginx:1.28" }, "p:list": [1, 2] };
    assert.deepEqual(merge(tree, { "p:upstream": { image: "nginx:1.22" }, "p:list": [3], "p:new": { a: 1 } }), {
      "p:domain": "dev",
      "p:upstream": { files: ["a"], image: "nginx:1.22" },
      "p:list": [3],
      "p:new": { a: 1 },
    });
  });
});
