/** The lab's command line; the Makefile's targets are these commands. */
import { existsSync, readdirSync } from "node:fs";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { execa } from "execa";

import { acmeArchives } from "./acme/images.ts";
import { approverChart, chart } from "./binaries.ts";
import { removeLeftCgroups } from "./cgroups.ts";
import { chromium, hasChromium } from "./chromium.ts";
import { addImages, health, recycleVolumes, startCluster, stopCluster } from "./cluster.ts";
import { namedCluster } from "./context.ts";
import { debian, knot, promtool } from "./debian.ts";
import { apisixImage, archives, nginxImage, pack } from "./images.ts";
import { context, inLab, isNamed, kubeconfig, lab, stack } from "./paths.ts";
import { goProblems, look, lookForGo, problems } from "./preflight.ts";
import {
  configProblems,
  copyConfiguration,
  endEngines,
  endOrphans,
  environment,
  findToolchain,
  isPrepared,
  layOut,
  missing,
  type Piece,
  prepareStack,
  type Toolchain,
} from "./pulumi.ts";
import { isReported, part, program, type Reporter, reporter, run, type State, type Step } from "./steps.ts";
import { marker, otherLabs, removeTemporary } from "./temporary.ts";

const usage = `Usage: node lab/cli.ts COMMAND [DIR]

  up        start the lab, a single-node Kubernetes on this machine, or repair it; does nothing if it is up
  tools     prepare Pulumi for the cluster of kubeconfig context CONTEXT, without starting anything
  env       print exports for plain \`pulumi\` and \`kubectl\` (for CONTEXT, else the lab)
  status    say whether the lab is up; --json for programs. Exit code 0 up, 1 broken, 3 down
  down      stop the lab and remove all it made except the cache; without LAB_DIR and CONTEXT, every lab that this
            checkout started, including those of tests and measurements, killed or still running
  programs  build the programs that the tests start, and link them into folder DIR under plain names

Settings (environment): LAB_DIR folder of the lab (.lab), MTLS_CACHE cache folder, STACK environment (dev),
LAB_APISIX_IMAGE archive of the real APISIX image, CONTEXT kubeconfig context of your own cluster (LAB_DIR, by default
.context, then has a folder per context and stack), LAB_ACME=1 adds images of an ACME server and a name server
(lab/acme), LAB_STAND_INS=1 lets Pulumi plugin stand-ins act on it, for tests.
`;

const mark = inLab(marker);
const notALab = `${lab} is not a lab's folder, and not empty: nothing was touched. Set LAB_DIR to a folder of its own.`;

async function up(): Promise<void> {
  refuse(problems(await look()));
  const given = process.env.LAB_APISIX_IMAGE || undefined;
  refuse([...(await configProblems()), ...(await imageProblems(given))]);
  const tools = await findToolchain();
  await makeFolder();
  const { pieces } = await run([
    part("debian", "fetch Debian's containerd, runc, iptables, nginx", debian),
    ...(["pause", "etcd", "coredns", "certmanager", "approver", "kube"] as const).map(program),
    ...(given === undefined ? [program("apisix")] : []),
    ...(process.env.LAB_ACME ? [program("pebble"), part("knot", "fetch Debian's Knot DNS", knot)] : []),
    ...pulumiParts(tools),
    part("chart", "unpack cert-manager's chart", chart),
    part("approverChart", "unpack approver-policy's chart", approverChart),
    { title: "pack images", task: (state, task) => packImages(state, task, given) },
    { title: "start Kubernetes", task: cluster },
    preparePulumi(tools, labOverlay),
  ]);
  const builtHere = (piece: string, from: string): Piece => ({ piece, kind: "real", from });
  table([
    builtHere("Kubernetes, etcd, CoreDNS", "Go modules"),
    builtHere("cert-manager", "Go module, ACME, CA and self-signed issuers"),
    builtHere("approver-policy", "Go module"),
    builtHere("nginx", "Debian's package"),
    builtHere("Node.js", `the one that runs the lab, ${process.version}`),
    { piece: "APISIX", kind: given === undefined ? "stand-in" : "real", from: given ?? "lab/standins/apisix" },
    ...pieces,
  ]);
}

async function imageProblems(apisix: string | undefined): Promise<string[]> {
  if (apisix === undefined) return [];
  const { stdout, exitCode } = await execa("tar", ["-tf", apisix], { reject: false });
  if (exitCode === 0 && /^(\.\/)?(manifest|index)\.json$/m.test(stdout)) return [];
  return [
    `LAB_APISIX_IMAGE names ${apisix}, which is not a readable OCI or docker archive: name one, or unset it to use the stand-in.`,
  ];
}

async function packImages(state: State, task: Reporter, apisix: string | undefined): Promise<void> {
  const { debian = "", pause = "", certmanager = "", approver = "", etcd = "", pebble = "", knot = "" } = state.parts;
  const sources = { debian, pause, certmanager, approver, etcd, apisix: state.parts.apisix ?? "" };
  const own = Object.entries(archives(sources)).filter(([name]) => name !== "apisix" || apisix === undefined);
  const ofAcme = Object.entries(pebble === "" ? {} : acmeArchives({ pebble, knot }));
  const all = [
    ...own.map(([name, archive]) => ({ name, archive, from: sources })),
    ...ofAcme.map(([name, archive]) => ({ name, archive, from: { pebble, knot } })),
  ];
  let made = 0;
  for (const { name, archive, from } of all) {
    const packed = await pack(name, archive, from);
    if (packed.made) made += 1;
    state.images.push({ archive: packed.path });
  }
  if (apisix !== undefined) state.images.push({ archive: apisix, name: apisixImage });
  task.title = made === 0 ? `${task.title} (from the cache)` : `${task.title} (${made} of ${all.length} rebuilt)`;
}

async function cluster({ parts, images }: State, task: Reporter): Promise<void> {
  const report = reporter(task);
  const { kube = "", coredns = "", pause = "", debian = "" } = parts;
  await mkdir(inLab("bin"), { recursive: true });
  await rm(inLab("bin/kubectl"), { force: true });
  await symlink(kube, inLab("bin/kubectl"));
  if ((await health()) === "up") {
    await addImages(images);
    const recycled = await recycleVolumes();
    task.title = recycled === 0 ? "Kubernetes is up" : `Kubernetes is up, ${recycled} volumes wiped`;
    return;
  }
  await stopCluster();
  await startCluster({ kube, coredns, pause, debian, images }, report);
}

/** What the lab overrides in the tree's configuration: where its charts are, and which nginx it has. */
function labOverlay({ parts }: State): Record<string, unknown> {
  return {
    "mtls-everywhere:certManager": { chart: parts.chart, approver: { chart: parts.approverChart } },
    "mtls-everywhere:upstream": { image: nginxImage },
  };
}

const pulumiParts = (tools: Toolchain): Step[] => [
  ...(tools.cli === undefined ? [program("pulumi")] : []),
  ...(missing(tools).length > 0 ? [program("plugins")] : []),
];

const preparePulumi = (tools: Toolchain, overlay: (state: State) => Record<string, unknown>): Step => ({
  title: "prepare Pulumi",
  task: async (state) => {
    const { pulumi, plugins } = state.parts;
    // A freshly built CLI may still fetch real plugins.
    state.pieces = await layOut(pulumi === undefined ? tools : await findToolchain(pulumi), pulumi, plugins);
    await prepareStack(overlay(state));
  },
});

/** Pulumi for the user's own cluster, without starting a lab. */
async function toolsOnly(): Promise<void> {
  const { kubeconfig: only, server, problem } = await namedCluster(context ?? "");
  refuse(problem === undefined ? await configProblems() : [problem]);
  const tools = await findToolchain();
  const absent = missing(tools);
  if (absent.length > 0 && !process.env.LAB_STAND_INS)
    refuse([`Stand-ins must not act on your cluster: get Pulumi's ${absent.join(", ")}. Nothing was changed.`]);
  await makeFolder();
  await writeFile(kubeconfig, only, { mode: 0o600 });
  const { pieces } = await run([...pulumiParts(tools), preparePulumi(tools, () => ({}))]);
  table([{ piece: "Kubernetes", kind: "real", from: `${server} (context ${context})` }, ...pieces]);
}

/** `down` removes the lab's whole folder, so it must be one that a lab made. */
async function makeFolder(): Promise<void> {
  if (existsSync(lab) && !existsSync(mark) && readdirSync(lab).length > 0) refuse([notALab]);
  await mkdir(lab, { recursive: true });
  await writeFile(mark, "This whole folder belongs to the lab of mtls-everywhere; `make down` removes it.\n");
}

async function down(): Promise<void> {
  if (!isNamed) {
    for (const other of await otherLabs()) {
      console.log(`stopping the lab in ${other}`);
      await execa(process.execPath, [import.meta.filename, "down"], { env: { LAB_DIR: other }, stderr: "inherit" });
    }
    await removeTemporary();
    await removeLeftCgroups();
  }
  if (existsSync(lab) && !existsSync(mark)) refuse([notALab]);
  endEngines();
  endOrphans();
  if (context === undefined) await stopCluster();
  await rm(lab, { recursive: true, force: true });
}

/** The programs that tests start without a cluster. */
async function linkPrograms(folder: string | undefined): Promise<void> {
  if (folder === undefined) return refuse(["Name the folder to link the programs into: node lab/cli.ts programs DIR"]);
  refuse(goProblems(await lookForGo()));
  const built = ["apisix", "etcd", "kube", "plugins", "pulumi"] as const;
  const { parts } = await run([
    ...built.map(program),
    part("promtool", "fetch Debian's promtool", promtool),
    ...(hasChromium ? [part("chromium", "fetch a headless Chromium", chromium)] : []),
  ]);
  await mkdir(folder, { recursive: true });
  for (const [name, path] of Object.entries(parts)) {
    await rm(join(folder, name), { force: true });
    await symlink(path, join(folder, name));
  }
}

function table(pieces: Piece[]): void {
  const rows = [{ piece: "PIECE", kind: "IS", from: "FROM" }, ...pieces];
  const width = (key: "piece" | "kind") => Math.max(...rows.map((row) => row[key].length)) + 2;
  for (const { piece, kind, from } of rows)
    console.log(`${piece.padEnd(width("piece"))}${kind.padEnd(width("kind"))}${from}`);
}

async function exports(): Promise<void> {
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  if (!existsSync(kubeconfig)) refuse([`No lab is up in ${lab}: run \`make up\` first.`]);
  if (!isPrepared()) refuse([`Stack ${stack} is not set up in ${lab}: run \`make up STACK=${stack}\` first.`]);
  refuse(await configProblems());
  await copyConfiguration();
  for (const [name, value] of Object.entries(environment()))
    console.log(value === undefined ? `unset ${name}` : `export ${name}=${quote(value)}`);
}

async function status(json: boolean): Promise<void> {
  const state = await health();
  console.log(
    json
      ? JSON.stringify({ state, folder: lab, stack, kubeconfig: state === "up" ? kubeconfig : null })
      : `The lab in ${lab} is ${state}.`,
  );
  process.exitCode = { up: 0, broken: 1, down: 3 }[state];
}

function refuse(sentences: string[]): void {
  if (sentences.length === 0) return;
  for (const sentence of sentences) console.error(sentence);
  process.exit(2);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { help: { type: "boolean", short: "h" }, json: { type: "boolean" } },
  });
  const commands: Record<string, () => void | Promise<void>> = {
    up,
    tools: toolsOnly,
    env: exports,
    status: () => status(values.json === true),
    down,
    programs: () => linkPrograms(positionals[1]),
  };
  const command = commands[positionals[0] ?? ""];
  if (values.help === true) console.log(usage);
  else if (command === undefined) refuse([usage]);
  else await command();
}

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)
  process.on(signal, () => {
    console.error("\nInterrupted: run the same command to continue.");
    process.exit(code);
  });
try {
  await main();
} catch (error) {
  if (!isReported(error)) console.error((error as Error).message);
  process.exitCode = 1;
}
