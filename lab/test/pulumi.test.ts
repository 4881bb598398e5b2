import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import kubernetes from "@pulumi/kubernetes/package.json" with { type: "json" };

import { configProblems, isEngine, merge, missing, type Piece, type Toolchain } from "../pulumi.ts";

describe("the lab's copy of the configuration", () => {
  it("merges settings into objects, and replaces everything else", () => {
    const tree = { "p:domain": "dev", "p:upstream": { files: ["a"], image: "nginx:1.28" }, "p:list": [1, 2] };
    assert.deepEqual(merge(tree, { "p:upstream": { image: "nginx:1.22" }, "p:list": [3], "p:new": { a: 1 } }), {
      "p:domain": "dev",
      "p:upstream": { files: ["a"], image: "nginx:1.22" },
      "p:list": [3],
      "p:new": { a: 1 },
    });
  });
});

describe("the lab's Pulumi", function () {
  this.timeout(120_000); // processes of their own, on a busy machine
  let folder: string;
  beforeEach(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), "lab-pulumi-")));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const at = (path: string) => join(folder, path);

  /** Writes a program and returns its path. */
  function program(path: string, script = ""): string {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), `#!/bin/sh\n${script}\n`);
    chmodSync(at(path), 0o755);
    return at(path);
  }
  function link(target: string, path: string): void {
    mkdirSync(dirname(at(path)), { recursive: true });
    symlinkSync(target, at(path));
  }
  /** A CLI that installs what it is told to. */
  const cli = (path: string, version = "3.208.0") =>
    program(
      path,
      `[ "$1" = version ] && echo v${version} && exit
      folder="$PULUMI_HOME/plugins/resource-$4-v$5"; /bin/mkdir -p "$folder"; : > "$folder/pulumi-resource-$4"`,
    );
  const plugin = `plugins/resource-kubernetes-v${kubernetes.version}/pulumi-resource-kubernetes`;

  /** Runs statements using lab/pulumi.ts on a machine that has only what the test wrote. */
  function run(statements: string, env: Record<string, string> = {}): unknown {
    const module = join(import.meta.dirname, "../pulumi.ts");
    const source = `import * as lab from ${JSON.stringify(module)}; ${statements}`;
    const own = { PATH: at("bin"), HOME: at("home"), MTLS_CACHE: at("cache"), LAB_DIR: at("lab") };
    return JSON.parse(
      execFileSync(process.execPath, ["--input-type=module", "-e", source], {
        env: { ...own, ...env },
        encoding: "utf8",
      }),
    );
  }
  const find = (env: Record<string, string> = {}, built = "undefined", online = false) =>
    run(`console.log(JSON.stringify(await lab.findToolchain(${built}, async () => ${online})));`, env) as Toolchain;
  const kubernetesOf = ({ plugins }: Toolchain) => plugins.find(({ name }) => name === "kubernetes")?.found;

  it("takes a CLI that honours PULUMI_OPTION_CONFIG_FILE, and no older one", () => {
    const path = cli("bin/pulumi", "3.207.0");
    assert.equal(find().cli, undefined);
    cli("bin/pulumi");
    assert.equal(find().cli, path);
  });

  it("finds the language host beside the CLI's real file, and in PULUMI_ROOT", () => {
    link(cli("opt/bin/pulumi"), "bin/pulumi");
    assert.equal(find().languageHost, undefined);
    const inRoot = program("root/bin/pulumi-language-nodejs");
    assert.equal(find({ PULUMI_ROOT: at("root") }).languageHost, inRoot);
    const beside = program("opt/bin/pulumi-language-nodejs");
    assert.equal(find({ PULUMI_ROOT: at("root") }).languageHost, beside);
  });

  it("finds plugins in the user's own PULUMI_HOME, except half-unpacked ones", () => {
    const found = program(`own/${plugin}`);
    assert.equal(kubernetesOf(find()), undefined);
    assert.equal(kubernetesOf(find({ PULUMI_HOME: at("own") })), found);
    program(`${dirname(`own/${plugin}`)}.partial`);
    assert.equal(kubernetesOf(find({ PULUMI_HOME: at("own") })), undefined);
  });

  it("has the CLI that it built fetch plugins, and later finds them without their host", () => {
    const built = JSON.stringify(cli("cache/bin/pulumi-0123456789abcdef"));
    assert.equal(kubernetesOf(find({}, built)), undefined);
    assert.equal(kubernetesOf(find({}, built, true)), at(`cache/pulumi/${plugin}`));
    assert.equal(kubernetesOf(find()), at(`cache/pulumi/${plugin}`));
  });

  it("carries on without plugins that cannot be fetched", () => {
    assert.equal(kubernetesOf(find({}, JSON.stringify(program("failing", "exit 1")), true)), undefined);
  });

  it("ignores another lab's stand-in", () => {
    const standIn = program("cache/bin/plugins-0123456789abcdef");
    link(standIn, "bin/pulumi-language-nodejs");
    link(standIn, `other/${plugin}`);
    const tools = find({ PULUMI_HOME: at("other") });
    assert.deepEqual([tools.languageHost, kubernetesOf(tools)], [undefined, undefined]);
  });

  it("lays out what it found without claiming a version, and finds it again by its links", () => {
    const built = cli("cache/bin/pulumi-0123456789abcdef");
    const standIn = program("cache/bin/plugins-0123456789abcdef");
    const found = program(`own/${plugin}`);
    const onPath = program("bin/pulumi-resource-tls");
    const layOut = (home: string) =>
      run(`console.log(JSON.stringify(await lab.layOut(await lab.findToolchain(), "${built}", "${standIn}")));`, {
        PULUMI_HOME: home,
      }) as Piece[];
    const [from, linked] = [layOut(at("own")), layOut(at("lab/pulumi"))];
    const ours = { kind: "stand-in", from: "lab/standins/plugins" };
    assert.deepEqual(from.slice(1), [
      { piece: "Pulumi language host", ...ours },
      { piece: "Pulumi kubernetes plugin", kind: "real", from: found },
      { piece: "Pulumi random plugin", ...ours },
      { piece: "Pulumi tls plugin", kind: "real", from: onPath },
    ]);
    assert.deepEqual(linked[2], { piece: "Pulumi kubernetes plugin", kind: "real", from: at(`lab/pulumi/${plugin}`) });
    assert.equal(realpathSync(at(`lab/pulumi/${plugin}`)), found);
  });

  it("creates the stack with its own passphrase, whatever the user's shell has", () => {
    program("lab/bin/pulumi", 'echo "encryptionsalt: ${PULUMI_CONFIG_PASSPHRASE-unset}" > Pulumi.dev.yaml');
    const statements = `import { readFileSync } from "node:fs"; await lab.prepareStack({});
      console.log(JSON.stringify(readFileSync("${at("lab/Pulumi.dev.yaml")}", "utf8")));`;
    assert.match(String(run(statements, { PULUMI_CONFIG_PASSPHRASE: "" })), /^encryptionsalt: unset$/m);
  });

  it("says how to get each real piece that is missing", () => {
    const plugins = [{ name: "tls", version: "5.6.1" }];
    assert.deepEqual(missing({ plugins }), [
      "language host (it comes with the Pulumi CLI 3.208 or newer, https://www.pulumi.com/docs/install)",
      "tls plugin (`pulumi plugin install resource tls 5.6.1`)",
    ]);
    assert.deepEqual(missing({ languageHost: "/a", plugins: [{ ...plugins[0]!, found: "/b" }] }), []);
  });

  it("refuses a configuration with secrets that its state cannot decrypt, and names them", async () => {
    const file = at("Pulumi.prod.yaml");
    writeFileSync(file, `config: { "p:a": { secure: v1:x }, "p:b": { c: [{ secure: v1:y }] }, "p:d": "secure" }\n`);
    const [sentence = "", ...more] = await configProblems(file);
    assert.match(sentence, /holds secrets \(p:a, p:b\).*run `pulumi up -s \w+` instead\. Nothing was changed\.$/);
    assert.deepEqual(more, []);
    writeFileSync(file, `encryptionsalt: v1:z\nconfig: { "p:d": { secure: text, insecure: text } }\n`);
    assert.deepEqual(await configProblems(file), []);
  });

  it("tells a running engine from a killed one, even without /proc", async () => {
    const engine = spawn("sleep", ["600"], { argv0: "pulumi" });
    const { pid = 0 } = engine;
    await once(engine, "spawn");
    try {
      if (process.platform === "linux") assert.deepEqual([isEngine(pid), isEngine(process.pid)], [true, false]);
      assert.equal(isEngine(pid, at("none")), true);
    } finally {
      engine.kill("SIGKILL");
      await once(engine, "exit");
    }
    assert.deepEqual([isEngine(pid), isEngine(pid, at("none"))], [false, false]);
  });

  it("counts a zombie engine as gone", async function () {
    if (process.platform !== "linux") this.skip();
    // The shell execs a program that reaps no children.
    const parent = spawn("bash", ["-c", "(exec -a pulumi sleep 600) & echo $!; exec -a idle sleep 600"], {
      detached: true,
    });
    const read = (pid: unknown, file: string) => readFileSync(`/proc/${pid as number}/${file}`, "utf8");
    const until = async (done: () => boolean) => {
      for (const end = Date.now() + 60_000; !done(); await sleep(20)) assert.ok(Date.now() < end);
    };
    try {
      const [line] = (await once(parent.stdout.setEncoding("utf8"), "data")) as [string];
      const pid = Number(line);
      await until(() => isEngine(pid) && read(parent.pid, "cmdline").startsWith("idle"));
      process.kill(pid, "SIGKILL");
      await until(() => read(pid, "status").includes("State:\tZ"));
      assert.equal(isEngine(pid), false);
    } finally {
      process.kill(-(parent.pid ?? 0), "SIGKILL");
    }
  });
});
