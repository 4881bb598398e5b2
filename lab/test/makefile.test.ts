import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";

describe("the Makefile", () => {
  it("refuses a make that runs each line in its own shell, as macOS's does", () => {
    const { status, stdout, stderr } = spawnSync("make", [".FEATURES=target-specific", "help"], {
      cwd: join(import.meta.dirname, "../.."),
      encoding: "utf8",
    });
    assert.match(stderr, /needs GNU make 3\.82 or newer.*brew install make.*gmake/);
    assert.deepEqual([status, stdout], [2, ""]);
  });
});
