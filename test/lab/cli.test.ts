import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const cli = join(import.meta.dirname, "../../lab/cli.ts");

describe("the lab's command line", () => {
  let folder: string;
  let lab: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "lab-"));
    lab = join(folder, "lab");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function run(command: string, env: Record<string, string> = {}) {
    const settings = { ...process.env, CONTEXT: "", STACK: "", LAB_APISIX_IMAGE: "", LAB_DIR: lab, ...env };
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...command.split(" ")], {
      env: settings,
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  }

  const kubeconfig = (server: string) =>
    JSON.stringify({
      clusters: [{ name: "c", cluster: { server } }],
      users: [{ name: "u", user: {} }],
      contexts: [{ name: "mine", context: { cluster: "c", user: "u" } }],
      "current-context": "mine",
    });

  it("refuses a context that the kubeconfig lacks, and names those it has", () => {
    const file = join(folder, "kubeconfig");
    writeFileSync(file, kubeconfig("https://127.0.0.1:9"));
    const { status, stderr } = run("tools", { KUBECONFIG: file, CONTEXT: "other" });
    assert.equal(
      stderr,
      `Your kubeconfig has no context "other", it has: mine. Set KUBECONFIG, or name one of these with CONTEXT=.\n`,
    );
    assert.equal(status, 2);
    assert.ok(!existsSync(lab));
  });

  it("refuses an API server that does not answer", () => {
    const file = join(folder, "kubeconfig");
    writeFileSync(file, kubeconfig("https://127.0.0.1:2"));
    const { status, stderr } = run("tools", { KUBECONFIG: file, CONTEXT: "mine" });
    assert.match(
      stderr,
      /^The API server https:\/\/127\.0\.0\.1:2 of context "mine" cannot be used \(.*ECONNREFUSED.*\)\. Nothing was changed/,
    );
    assert.equal(status, 2);
    assert.ok(!existsSync(lab));
  });

  it("refuses a kubeconfig that is not there", () => {
    const { status, stderr } = run("tools", { KUBECONFIG: join(folder, "none"), CONTEXT: "mine" });
    assert.match(stderr, /^Your kubeconfig cannot be read \(.*none'\): set KUBECONFIG/);
    assert.equal(status, 2);
  });

  it("prints no exports without a lab, so that nothing runs in the user's own settings", () => {
    const { status, stdout, stderr } = run("env");
    assert.deepEqual([status, stdout, stderr], [2, "", `No lab is up in ${lab}: run \`make up\` first.\n`]);
  });

  it("neither uses nor removes a folder that is not a lab's", () => {
    mkdirSync(lab);
    writeFileSync(join(lab, "precious"), "");
    assert.match(run("down").stderr, /is not a lab's folder/);
    assert.deepEqual(readdirSync(lab), ["precious"]);
  });

  it("says what it can do", () => {
    assert.equal(run("--help").status, 0);
    assert.deepEqual([run("fly").status, run("up --fly").status], [2, 1]);
  });

  describe("on a machine that carries the lab", function () {
    this.timeout(300_000);
    before(function () {
      if (process.platform !== "linux" || process.getuid?.() !== 0) this.skip();
    });
    afterEach(() => run("down"));

    it("refuses an environment and an archive that are not there, before anything is made", () => {
      const { status, stderr } = run("up", { STACK: "nope", LAB_APISIX_IMAGE: "/nope" });
      assert.match(
        stderr,
        /^There is no .*Pulumi\.nope\.yaml: STACK=nope .*\nLAB_APISIX_IMAGE names \/nope, which is not an OCI/,
      );
      assert.equal(status, 2);
      assert.ok(!existsSync(lab));
    });

    it("comes up, comes back after kill -9, and leaves nothing on the machine", () => {
      const before = traces();
      assert.equal(run("up").status, 0);
      assert.equal(run("status").status, 0);
      const [first] = processes();
      const ready = spawnSync(
        join(lab, "bin/kubectl"),
        ["--kubeconfig", join(lab, "kubeconfig"), "get", "nodes", "--no-headers"],
        { encoding: "utf8" },
      );
      assert.match(ready.stdout, /^lab +Ready /);
      assert.equal(run("up").status, 0);
      assert.deepEqual(processes()[0], first, "the lab that is up is left alone");

      process.kill(first ?? 0, "SIGKILL");
      assert.equal(run("status").status, 1);
      assert.equal(run("up").status, 0);
      assert.equal(run("status").status, 0);

      assert.equal(run("down").status, 0);
      assert.deepEqual(traces(), before);
      assert.deepEqual([processes(), existsSync(lab)], [[], false]);
      assert.equal(run("status").status, 3);
    });
  });

  /** Processes that name this lab's folder, oldest first. */
  function processes(): number[] {
    const named = globSync("/proc/[0-9]*/cmdline").filter((file) => {
      try {
        return readFileSync(file, "utf8").includes(`${lab}/`);
      } catch {
        return false; // it has just ended
      }
    });
    return named.map((file) => Number(file.split("/")[2])).sort((a, b) => a - b);
  }

  /** What a lab could leave on the host beside processes. */
  function traces() {
    return {
      mounts: readFileSync("/proc/self/mountinfo", "utf8").split("\n").length,
      links: readdirSync("/sys/class/net").sort(),
      cgroups: globSync(`/sys/fs/cgroup/**/mtls-lab-${createHash("sha256").update(lab).digest("hex").slice(0, 8)}`),
      namespaces: existsSync("/run/netns") ? readdirSync("/run/netns") : [],
    };
  }
});
