import assert from "node:assert/strict";
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

import { removeLeftCgroups } from "../cgroups.ts";
import { makeFolder, removeFolder } from "../temporary.ts";

/** Where each lab has its own cgroup: the root with version 2, every folder with version 1. */
const hierarchies = existsSync("/sys/fs/cgroup/cgroup.procs")
  ? ["/sys/fs/cgroup"]
  : globSync("/sys/fs/cgroup/*/cgroup.procs").map(dirname);
const cli = join(import.meta.dirname, "../cli.ts");

describe("the lab's command line", function () {
  this.timeout(120_000); // processes of their own, on a busy machine
  let folder: string;
  let lab: string;
  beforeEach(async () => {
    folder = await makeFolder("cli");
    lab = join(folder, "lab");
  });
  afterEach(() => removeFolder(folder));

  const settings = (env: Record<string, string>) => ({
    ...process.env,
    ...{ CONTEXT: "", STACK: "", LAB_APISIX_IMAGE: "", LAB_STAND_INS: "", LAB_DIR: lab },
    ...env,
  });
  function run(command: string, env: Record<string, string> = {}) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...command.split(" ")], {
      env: settings(env),
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  }

  const kubeconfig = (server: string) =>
    JSON.stringify({
      clusters: [{ name: "c", cluster: { server, "insecure-skip-tls-verify": true } }],
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
      `Your kubeconfig has no context "other"; it has: mine. Set KUBECONFIG, or name one of these with CONTEXT=.\n`,
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

  it("refuses a missing kubeconfig", () => {
    const { status, stderr } = run("tools", { KUBECONFIG: join(folder, "none"), CONTEXT: "mine" });
    assert.match(stderr, /^Your kubeconfig cannot be read \(.*none'\): set KUBECONFIG/);
    assert.equal(status, 2);
  });

  it("refuses stand-ins on the user's own cluster", async () => {
    const server = createServer((_, answer) => answer.setHeader("content-type", "application/json").end("{}"));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const file = join(folder, "kubeconfig");
    writeFileSync(file, kubeconfig(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
    const nothing = { PATH: folder, HOME: folder, PULUMI_HOME: "", PULUMI_ROOT: "", MTLS_CACHE: join(folder, "cache") };
    const env = settings({ ...nothing, KUBECONFIG: file, CONTEXT: "mine" });
    try {
      await assert.rejects(promisify(execFile)(process.execPath, [cli, "tools"], { env }), {
        code: 2,
        stderr: /^Stand-ins must not act on your cluster: get Pulumi's language host \(.*kubernetes plugin \(.*Nothing/,
      });
    } finally {
      server.close();
    }
    assert.deepEqual(readdirSync(folder), ["kubeconfig"]);
  });

  it("keeps a folder per stack and context, and takes down just one", () => {
    for (const name of ["mine@dev", "mine@prod"]) {
      mkdirSync(join(lab, name), { recursive: true });
      writeFileSync(join(lab, name, "LAB"), "");
    }
    assert.equal(run("down", { CONTEXT: "mine", STACK: "dev" }).status, 0);
    assert.deepEqual(readdirSync(lab), ["mine@prod"]);
    const ofCloud = join(lab, "arn=3Aaws=3Aeks=3Aeu=3A1=3Acluster=2Fc@dev");
    const { stderr } = run("env", { CONTEXT: "arn:aws:eks:eu:1:cluster/c" });
    assert.equal(stderr, `No lab is up in ${ofCloud}: run \`make up\` first.\n`);
  });

  it("unsets the user's own passphrase, which would override the lab's, and prints none", () => {
    layOut();
    const exports = run("env", { PULUMI_CONFIG_PASSPHRASE: "of-the-user" }).stdout;
    assert.doesNotMatch(exports, /of-the-/);
    const shell = `${exports}\necho "\${PULUMI_CONFIG_PASSPHRASE-unset} $PULUMI_CONFIG_PASSPHRASE_FILE"`;
    const env = { ...process.env, PULUMI_CONFIG_PASSPHRASE: "" };
    assert.equal(execFileSync("/bin/sh", ["-c", shell], { env, encoding: "utf8" }), `unset ${lab}/passphrase\n`);
  });

  it("prints exports for the tree's current configuration, with the lab's settings on top", () => {
    layOut();
    writeFileSync(join(lab, "Pulumi.dev.yaml"), "config: {}\n");
    assert.equal(run("env").status, 0);
    const copy = readFileSync(join(lab, "Pulumi.dev.yaml"), "utf8");
    assert.match(copy, /^encryptionsalt: of-the-lab$/m);
    assert.match(copy, /^ {2}mtls-everywhere:trustDomain: dev\.mtls\.internal$/m);
    assert.match(copy, /^ {4}chart: here$/m);
    assert.match(
      run("env", { STACK: "prod" }).stderr,
      /^Stack prod is not set up in .*: run `make up STACK=prod` first\.$/m,
    );
  });

  it("prints no exports without a lab, so that nothing runs with the user's own settings", () => {
    const { status, stdout, stderr } = run("env");
    assert.deepEqual([status, stdout, stderr], [2, "", `No lab is up in ${lab}: run \`make up\` first.\n`]);
  });

  it("neither uses nor removes a folder that no lab made", () => {
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
    this.timeout(30 * 60_000); // with an empty cache, `up` builds everything first
    before(function () {
      if (process.platform !== "linux" || process.getuid?.() !== 0) this.skip();
    });
    afterEach(() => run("down"));

    it("refuses a missing environment or archive before it makes anything", () => {
      const { status, stderr } = run("up", { STACK: "nope", LAB_APISIX_IMAGE: "/nope" });
      assert.match(
        stderr,
        /^There is no .*Pulumi\.nope\.yaml: nope \(STACK\) .*\nLAB_APISIX_IMAGE names \/nope, which is not a readable OCI/,
      );
      assert.equal(status, 2);
      assert.ok(!existsSync(lab));
    });

    it("prepares Pulumi for a context, with stand-ins if a test asks for them", () => {
      assert.equal(run("up").status, 0);
      const env = {
        CONTEXT: "lab",
        KUBECONFIG: join(lab, "kubeconfig"),
        LAB_DIR: join(folder, "named"),
        LAB_STAND_INS: "1",
      };
      assert.equal(run("tools", env).status, 0);
      const exports = run("env", env).stdout;
      assert.ok(exports.includes(`export PULUMI_BACKEND_URL='file://${folder}/named/lab@dev/state'\n`));
      const list = `${exports}\npulumi stack ls --json`;
      const stacks = execFileSync("/bin/sh", ["-c", list], { cwd: join(cli, "../.."), encoding: "utf8" });
      assert.deepEqual(
        (JSON.parse(stacks) as { name: string }[]).map(({ name }) => name),
        ["dev"],
      );

      rmSync(lab, { recursive: true });
      assert.equal(run("down").status, 0);
      assert.deepEqual([processes("unshare\0"), traces().cgroups], [[], []], "a lab whose folder is gone is stopped");
    });

    it("stops every lab that its checkout started, even those of killed runs (case 27)", async () => {
      const copy = join(folder, "checkout");
      const checkout = join(cli, "../..");
      for (const path of ["lab", "Pulumi.yaml", "Pulumi.dev.yaml", "package.json"])
        cpSync(join(checkout, path), join(copy, path), { recursive: true });
      symlinkSync(join(checkout, "node_modules"), join(copy, "node_modules"));
      const inCopy = (command: string, LAB_DIR: string) =>
        spawnSync(process.execPath, [join(copy, "lab/cli.ts"), command], {
          env: settings({ LAB_DIR }),
          encoding: "utf8",
        });
      const labs = { running: lab, stopped: join(copy, ".labs/bench-x/lab"), ofOthers: join(copy, ".labs/bench-y") };
      mkdirSync(labs.stopped, { recursive: true });
      mkdirSync(labs.ofOthers);
      writeFileSync(join(labs.stopped, "LAB"), "");
      for (const hierarchy of hierarchies)
        mkdirSync(join(hierarchy, "mtls-lab-of-a-folder-gone/k8s.io/container"), { recursive: true });
      const started = inCopy("up", labs.running);
      assert.equal(started.status, 0, started.stderr);
      const engine = join(folder, "pulumi");
      symlinkSync("/bin/sleep", engine);
      const killedRuns = spawn(engine, ["600"], { env: { PULUMI_HOME: join(lab, "pulumi") } });
      const engineEnded = once(killedRuns, "exit");

      const { status, stdout, stderr } = inCopy("down", "");
      assert.deepEqual(
        { status, stderr, ended: stdout.trim().split("\n").sort() },
        {
          status: 0,
          stderr: "",
          ended: [labs.running, labs.stopped].map((path) => `stopping the lab in ${path}`).sort(),
        },
      );
      await ended();
      assert.deepEqual(await engineEnded, [null, "SIGKILL"]);
      assert.deepEqual([existsSync(labs.running), existsSync(join(copy, ".labs"))], [false, false]);
      assert.deepEqual(globSync("/sys/fs/cgroup/**/mtls-lab-of-a-folder-gone"), []);
    });

    it("comes up, comes back after kill -9, and leaves nothing on the machine", async () => {
      const before = traces();
      assert.equal(run("up").status, 0);
      assert.equal(run("status").status, 0);
      const [first] = processes("unshare\0");
      const ready = spawnSync(
        join(lab, "bin/kubectl"),
        ["--kubeconfig", join(lab, "kubeconfig"), "get", "nodes", "--no-headers"],
        { encoding: "utf8" },
      );
      assert.match(ready.stdout, /^lab +Ready /);
      assert.equal(run("up").status, 0);
      assert.deepEqual(processes("unshare\0"), [first], "the lab that is up is left alone");
      await removeLeftCgroups();
      assert.equal(traces().cgroups.length, hierarchies.length, "the cgroup of a lab that is up is left alone");

      process.kill(first ?? 0, "SIGKILL");
      await ended();
      assert.equal(run("status").status, 1);
      assert.equal(run("up").status, 0);
      assert.equal(run("status").status, 0);

      assert.equal(run("down").status, 0);
      await ended();
      assert.deepEqual(traces(), before);
      assert.equal(existsSync(lab), false);
      assert.equal(run("status").status, 3);
    });
  });

  /** What `up` leaves for `env`. */
  function layOut(): void {
    mkdirSync(join(lab, "project"), { recursive: true });
    for (const name of ["kubeconfig", "passphrase"]) writeFileSync(join(lab, name), "of-the-lab");
    writeFileSync(join(lab, "project/Pulumi.dev.yaml"), "encryptionsalt: of-the-lab\n");
    writeFileSync(join(lab, "overlay.json"), JSON.stringify({ "mtls-everywhere:certManager": { chart: "here" } }));
  }

  /** Processes whose command line starts with this and names the lab's folder. */
  function processes(beginning = ""): number[] {
    const named = globSync("/proc/[0-9]*/cmdline").filter((file) => {
      try {
        const text = readFileSync(file, "utf8");
        return text.startsWith(beginning) && text.includes(`${lab}/`);
      } catch {
        return false; // it has just ended
      }
    });
    return named.map((file) => Number(file.split("/")[2]));
  }

  /** The kernel kills the lab's processes with the first one, on a busy machine not immediately. */
  async function ended(): Promise<void> {
    for (const end = Date.now() + 120_000; processes().length > 0; await sleep(100))
      assert.ok(Date.now() < end, "the lab's processes are still there");
  }

  /** What a lab could leave on the host besides processes. */
  function traces() {
    return {
      mounts: readFileSync("/proc/self/mountinfo", "utf8").split("\n").length,
      links: readdirSync("/sys/class/net").sort(),
      cgroups: globSync(`/sys/fs/cgroup/**/mtls-lab-${createHash("sha256").update(lab).digest("hex").slice(0, 8)}`),
      namespaces: existsSync("/run/netns") ? readdirSync("/run/netns") : [],
    };
  }
});
