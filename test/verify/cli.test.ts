// The command line: what it answers without a platform.

import { deepEqual } from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";

const project = join(import.meta.dirname, "../..");

function cli(args: readonly string[], input = ""): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, ["verify/cli.ts", ...args], { cwd: project }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}

describe("verify/cli.ts", () => {
  it("explains itself", async () => {
    const { stdout, ...rest } = await cli(["--help"]);
    deepEqual(
      [stdout.split("\n")[0], rest],
      ["Usage: node verify/cli.ts [--stack NAME] [--outputs FILE] [--context NAME] [--json]", { code: 0, stderr: "" }],
    );
  });

  it("ends with 2, and tells why, when there is nothing to check", async () => {
    deepEqual(
      [await cli(["--outputs", "-", "--stack", "dev"], "no JSON"), await cli(["--outputs", "/nowhere/outputs.json"])],
      [
        {
          code: 2,
          stdout: "",
          stderr: "The stack outputs are not JSON: Unexpected token 'o', \"no JSON\" is not valid JSON\n",
        },
        { code: 2, stdout: "", stderr: "ENOENT: no such file or directory, open '/nowhere/outputs.json'\n" },
      ],
    );
  });

  it("ends with 2 on an option that it does not know", async () => {
    const { code, stdout } = await cli(["--jsno"]);
    deepEqual({ code, stdout }, { code: 2, stdout: "" });
  });
});
