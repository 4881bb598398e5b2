// The command line, without a platform.

import { deepEqual, equal } from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { contexts } from "../../components/clusterStack.ts";
import { KubernetesApi } from "../../support/kubernetesApi.ts";
import { outputs } from "../../support/outputs.ts";

const project = join(import.meta.dirname, "../../..");

function cli(
  args: readonly string[],
  input = "",
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ["tools/verify/cli.ts", ...args],
      { cwd: project, env },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}

describe("tools/verify/cli.ts", function () {
  this.timeout(180_000);
  it("explains itself", async () => {
    const { stdout, ...rest } = await cli(["--help"]);
    deepEqual(
      [stdout.split("\n")[0], rest],
      [
        "Usage: node tools/verify/cli.ts [--stack NAME] [--outputs FILE] [--context NAME] [--json] [--report FILE]...",
        { code: 0, stderr: "" },
      ],
    );
  });

  it("exits with 2, and says why, if there is nothing to check", async () => {
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

  it("exits with 2 before anything is tried if a report cannot be written", async () => {
    const { stderr, ...rest } = await cli(["--outputs", "/nowhere/outputs.json", "--report", "out.pdf"]);
    deepEqual([stderr.split(":")[0], rest], ["--report out.pdf", { code: 2, stdout: "" }]);
  });

  it("exits with 2 on an unknown option", async () => {
    const { code, stdout } = await cli(["--jsno"]);
    deepEqual({ code, stdout }, { code: 2, stdout: "" });
  });

  describe("reaches the cluster", () => {
    const uid = "00000000-0000-4000-8000-00000000000c";
    let api: KubernetesApi;
    let folder: string;
    before(async () => {
      api = await KubernetesApi.start(uid);
      folder = mkdtempSync(join(tmpdir(), "verify-"));
      writeFileSync(
        join(folder, "kubeconfig"),
        contexts({ current: api.kubeconfig, named: api.kubeconfig, other: api.kubeconfig }),
      );
      writeFileSync(join(folder, "outputs.json"), JSON.stringify(outputs));
    });
    after(async () => {
      await api.stop();
      rmSync(folder, { recursive: true });
    });

    /** Which context was used: it is not the cluster that the outputs name, and the refusal says so. */
    const context = async (config: object, ...args: string[]) => {
      const answers = [
        `"stack output --json -s dev") cat ${folder}/outputs.json ;;`,
        `"config --json -s dev") echo '${JSON.stringify(config)}' ;;`,
        `"config get kubernetes:kubeconfig -s dev") cat ${folder}/secret ;;`,
      ];
      writeFileSync(join(folder, "secret"), `${contexts({ hidden: api.kubeconfig })}\n`);
      const script = `#!/bin/sh\ncase "$*" in\n${answers.join("\n")}\n*) exit 1 ;;\nesac\n`;
      writeFileSync(join(folder, "pulumi"), script, { mode: 0o755 });
      const env = { ...process.env, PATH: `${folder}:/usr/bin:/bin`, KUBECONFIG: join(folder, "kubeconfig") };
      const { code, stderr } = await cli(args, "", env);
      equal(code, 2, stderr);
      return /^The kubeconfig's context "(\w+)" points at cluster/m.exec(stderr)?.[1] ?? stderr;
    };
    const value = (text: string) => ({ value: text, secret: false });

    it("that the stack's configuration names, unless told otherwise", async () => {
      const named = { "kubernetes:context": value("named") };
      deepEqual(
        [
          await context({}, "-s", "dev"),
          await context(named, "-s", "dev"),
          await context(named, "-s", "dev", "--context", "other"),
          await context(named, "-s", "dev", "--outputs", join(folder, "outputs.json")),
        ],
        ["current", "named", "other", "current"],
      );
    });

    it("with the configuration's own kubeconfig, even a secret one", async () => {
      const path = join(folder, "another");
      writeFileSync(path, contexts({ another: api.kubeconfig }));
      deepEqual(
        [
          await context({ "kubernetes:kubeconfig": value(path) }, "-s", "dev"),
          await context({ "kubernetes:kubeconfig": { secret: true } }, "-s", "dev"),
        ],
        ["another", "hidden"],
      );
    });
  });
});
