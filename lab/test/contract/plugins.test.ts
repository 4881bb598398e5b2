// Compares the stand-ins for Pulumi's plugins with recordings of the real ones: every recorded call is compared, or listed in
// pluginsRecordings.ts with a reason.
// Recorded JSON and the messages that the SDK generates have no static types.
/* eslint-disable @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-assignment,
   @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-return */

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Outcome, type Plugin, startPlugin } from "./pluginsClient.ts";
import { labBin, missingBinaries, startCluster, type TestCluster, until } from "./pluginsCluster.ts";
import {
  exceptionFor,
  filesOf,
  fixtures,
  formFor,
  isUnreachable,
  type Json,
  normal,
  normalRandom,
  project,
  type Recorded,
  recording,
  youngestCertificate,
} from "./pluginsRecordings.ts";
import { ContractReport } from "./report.ts";

const report = new ContractReport();

/** Reports a case as compared, once. */
function enter(name: string): void {
  if (!report.compared.includes(name)) report.compared.push(name);
}

/** Whether the call is not compared as is; if so, reports its case with the reason, once. */
function isExcepted(file: string, call: Recorded): boolean {
  const exception = exceptionFor(file, call);
  if (exception === undefined) return false;
  const list = report[exception.verdict];
  if (!list.some((entered) => entered.case === exception.case))
    list.push({ case: exception.case, reason: exception.reason });
  return true;
}

/** The recorded outcome as an Outcome, without the details that only one recording has. */
const expected = ({ response, errors }: Recorded): Outcome =>
  errors === undefined ? { response: response ?? {} } : { errors: [...errors] };

const outcome = ({ response, errors }: Outcome): Outcome => (errors === undefined ? { response } : { errors });

/** Compares a call's outcome with the recording, both in the same form, and reports the case. */
function hold(file: string, call: Recorded, got: Outcome, form: (outcome: Json) => Json = normal): void {
  assert.deepEqual(form(outcome(got)), form(expected(call)), `${file}: ${call.method} ${call.request.name ?? ""}`);
  enter(`${file} ${call.method}`);
}

/** A copy in which every string, or part of one, that `replacements` names is replaced. */
function replace(value: Json, replacements: ReadonlyMap<string, string>): Json {
  let text = JSON.stringify(value);
  for (const [from, to] of replacements)
    text = text.replaceAll(JSON.stringify(from).slice(1, -1), JSON.stringify(to).slice(1, -1));
  return JSON.parse(text);
}

let folder = "";

// In a block of its own: skipping in a root hook would skip every test of the run.
describe("the stand-ins of Pulumi's plugins", () => {
  before(function () {
    if (!existsSync(fixtures)) {
      console.log(`      skipped: no recordings at ${fixtures}`);
      this.skip();
    }
    const missing = missingBinaries("plugins");
    if (missing.length > 0) {
      console.log(`      skipped: no ${missing.join(", ")} in ${labBin} (LAB_BIN); make builds them`);
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), "plugins-contract-"));
  });

  after(() => {
    if (folder === "") return;
    rmSync(folder, { recursive: true, force: true });
    report.compared.sort();
    report.write(project, "plugins");
  });

  let started = 0;
  const start = (name: string, environment: Record<string, string> = {}): Promise<Plugin> =>
    startPlugin(name, join(folder, `plugin-${++started}`), environment);

  // ---------- random and tls: no state outside the calls, so each is made as recorded

  const randomForm = (o: Outcome): Json => ({ ...o, ...(o.response && { response: normalRandom(o.response) }) });

  for (const name of ["random", "tls"]) {
    describe(`${name} plugin`, function () {
      this.timeout(60_000);
      /** A plugin with a recording's clock, so that it does not matter that its certificates have expired since. */
      const startAt = (instant: string | undefined): Promise<Plugin> =>
        start(`pulumi-resource-${name}`, instant === undefined ? {} : { LAB_CLOCK: instant });
      /** Stand in for the keys that the recordings omit, and for the certificate and request that must match them. */
      const materials = new Map<string, string>();
      let caCertPem = "";
      before(async () => {
        if (name !== "tls") return;
        const plugin = await startAt(undefined);
        const make = async (type: string, properties: Json): Promise<Json> => {
          const { response, errors } = await plugin.call("Create", {
            urn: `urn:pulumi:t::t::tls:index/${type}::x`,
            properties,
          });
          assert.equal(errors, undefined);
          return response.properties;
        };
        const ec = (await make("privateKey:PrivateKey", { algorithm: "ECDSA", ecdsaCurve: "P256" })).privateKeyPem
          .value;
        const rsa = (await make("privateKey:PrivateKey", { algorithm: "RSA" })).privateKeyPem.value;
        materials.set("<PEM EC PRIVATE KEY>", ec).set("<PEM RSA PRIVATE KEY>", rsa);
        const ca = { privateKeyPem: ec, isCaCertificate: true, allowedUses: ["cert_signing"], validityPeriodHours: 24 };
        caCertPem = (await make("selfSignedCert:SelfSignedCert", ca)).certPem;
        await plugin.stop();
      });
      for (const file of filesOf(name)) {
        it(file, async () => {
          const plugin = await startAt(youngestCertificate(file));
          try {
            for (const call of recording(file)) {
              if (isExcepted(file, call)) continue;
              const creates = call.method === "Create";
              const request = creates ? replace(call.request, materials) : call.request;
              // The recording lacks the CA's key: sign with one whose key we have.
              if (creates && request.properties.caCertPem !== undefined) request.properties.caCertPem = caCertPem;
              hold(file, call, await plugin.call(call.method, request), name === "random" ? randomForm : normal);
            }
          } finally {
            await plugin.stop();
          }
        });
      }

      if (name !== "tls") return;
      it("wants a new certificate from the early renewal on, by its own clock", async () => {
        const file = "tls/sim-03-up-nochange.json"; // its certificate expires at 11:15:10, to be renewed an hour earlier
        const call = recording(file).find(({ method, request }) => method === "Diff" && /SelfSigned/.test(request.urn));
        const wanted = async (instant: string): Promise<Json> => {
          const plugin = await startAt(instant);
          const { response } = await plugin.call("Diff", call?.request);
          await plugin.stop();
          return response;
        };
        assert.deepEqual(await wanted("2026-11-23T10:14:10Z"), { changes: "DIFF_NONE" });
        const renewal = { changes: "DIFF_SOME", diffs: ["readyForRenewal"], replaces: ["readyForRenewal"] };
        for (const instant of ["2026-11-23T10:15:11Z", "2037-01-01T00:00:00+01:00"])
          assert.deepEqual(await wanted(instant), renewal);
      });
    });
  }

  // ---------- the language host, with a runner of our own in place of the SDK's

  describe("language host", function () {
    this.timeout(60_000);
    let plugin: Plugin;
    let program = "";
    before(async () => {
      program = join(folder, "program");
      const lay = (path: string, content: Json): void => {
        mkdirSync(join(program, path, ".."), { recursive: true });
        writeFileSync(join(program, path), typeof content === "string" ? content : JSON.stringify(content));
      };
      lay("package.json", {
        dependencies: Object.fromEntries(
          ["kubernetes", "random", "tls", "pulumi"].map((name) => [`@pulumi/${name}`, "*"]),
        ),
      });
      for (const name of ["kubernetes", "random", "tls"]) {
        lay(`node_modules/@pulumi/${name}/package.json`, {
          name: `@pulumi/${name}`,
          version: "1.2.3",
          pulumi: { resource: true, name, version: "1.2.3" },
        });
      }
      lay("node_modules/@pulumi/pulumi/package.json", { name: "@pulumi/pulumi", version: "1.2.3" });
      lay("node_modules/typescript/package.json", { name: "typescript", version: "5.9.3" });
      lay(
        "node_modules/@pulumi/pulumi/cmd/run/index.js",
        `require("fs").writeFileSync("seen.json", JSON.stringify({ argv: process.argv.slice(2), cwd: process.cwd(), config: process.env.PULUMI_CONFIG, secrets: process.env.PULUMI_CONFIG_SECRET_KEYS }));
       process.exit(Number(require("fs").readFileSync("exit", "utf8")));`,
      );
      plugin = await start("pulumi-language-nodejs");
    });
    after(() => plugin?.stop());

    for (const file of filesOf("language")) {
      it(file, async () => {
        const places = new Map([["<PROJECT>", program]]);
        for (const call of recording(file)) {
          if (isExcepted(file, call)) continue;
          const request = replace(call.request, places);
          if (call.method === "Run") writeFileSync(join(program, "exit"), call.response.bail === true ? "32" : "0");
          const got = await plugin.call(call.method, request);
          // Where node is depends on the machine.
          if (call.method === "About") {
            assert.ok(existsSync(got.response.executable));
            got.response.executable = "<NODE>";
          }
          hold(file, call, got);
          if (call.method === "Run") {
            const seen = JSON.parse(readFileSync(join(program, "seen.json"), "utf8"));
            const { monitorAddress, organization, project: name, stack, pwd, parallel, dryRun } = request;
            assert.equal(seen.cwd, pwd);
            assert.deepEqual([seen.config, seen.secrets], ["{}", "[]"]);
            const wanted = [
              "--monitor",
              monitorAddress,
              "--engine",
              "127.0.0.1",
              "--organization",
              organization,
              "--project",
              name,
              "--stack",
              stack,
            ];
            const rest = [
              "--pwd",
              pwd,
              "--root-directory",
              pwd,
              "--parallel",
              String(parallel),
              ...(dryRun === true ? ["--dry-run"] : []),
              ".",
            ];
            assert.deepEqual(
              seen.argv.map((a: string, i: number) => (seen.argv[i - 1] === "--engine" ? "127.0.0.1" : a)),
              [...wanted, ...rest],
            );
          }
        }
      });
    }

    it("tells an error in the program from a failure that it has reported itself", async () => {
      const info = { rootDirectory: program, programDirectory: program, entryPoint: "." };
      writeFileSync(join(program, "exit"), "3");
      const { response } = await plugin.call("Run", {
        project: "p",
        stack: "s",
        pwd: program,
        program: ".",
        monitorAddress: "127.0.0.1:1",
        info,
      });
      assert.deepEqual(response, { error: "program exited with non-zero exit code: 3" });
    });
  });

  // ---------- kubernetes: first what needs no cluster, then the sim recordings in sequence against a real API server

  const clusterless = /^(Handshake|GetPluginInfo|CheckConfig|DiffConfig|Configure|Check|Diff|Cancel)$/;
  const needsCluster = (call: Recorded): boolean => !clusterless.test(call.method);

  /** Makes the recorded calls command by command, each with its own plugin. */
  async function inCommands(
    file: string,
    make: (plugin: Plugin, calls: readonly Recorded[]) => Promise<void>,
  ): Promise<void> {
    const calls = [...recording(file)];
    while (calls.length > 0) {
      const end = calls.findIndex(({ method }) => method === "Cancel");
      const plugin = await start("pulumi-resource-kubernetes");
      try {
        await make(plugin, calls.splice(0, end === -1 ? calls.length : end + 1));
      } finally {
        await plugin.stop();
      }
    }
  }

  /** The files that are compared against the API server, in recorded order. */
  const stateful = (file: string): boolean => /kubernetes\/sim-/.test(file);

  describe("kubernetes plugin without a cluster", function () {
    this.timeout(60_000);
    let kubeconfig = "";
    const places = new Map<string, string>();
    before(() => {
      kubeconfig = join(folder, "dead.kubeconfig");
      // Nothing listens on port 1.
      const config = {
        apiVersion: "v1",
        kind: "Config",
        "current-context": "c",
        clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:1" } }],
        users: [{ name: "u", user: {} }],
        contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      };
      writeFileSync(kubeconfig, JSON.stringify(config));
      const chart = join(folder, "charts", "cert-manager");
      mkdirSync(join(chart, "templates"), { recursive: true });
      writeFileSync(
        join(chart, "Chart.yaml"),
        "apiVersion: v2\nname: cert-manager\nversion: v1.21.2\nappVersion: v1.21.2\n",
      );
      for (const name of ["<PREFIX>/kp/pki/admin.kubeconfig", "<PREFIX>/dead.kubeconfig", "<LAB>/kubeconfig"])
        places.set(name, kubeconfig);
      places.set("<CHARTS>", join(folder, "charts"));
    });

    for (const file of filesOf("kubernetes").filter((f) => !f.includes("direct-"))) {
      it(file, async () => {
        await inCommands(file, async (plugin, calls) => {
          if (file.includes("release-"))
            await plugin.call("Configure", {
              variables: { "kubernetes:config:kubeconfig": kubeconfig },
              acceptSecrets: true,
            });
          for (const call of calls) {
            if (isExcepted(file, call)) continue;
            // Those of the sim recordings are made against the API server below.
            if (needsCluster(call) && !isUnreachable(file, call)) continue;
            const request = replace(call.request, places);
            // The recordings have one placeholder for all certificates: if the real plugin saw two, make them differ.
            if (call.method === "Diff" && JSON.stringify(call.response).includes("ca.crt")) {
              request.news = replace(request.news, new Map([["<BASE64 PEM>", "<ANOTHER BASE64 PEM>"]]));
            }
            const got = await plugin.call(call.method, request);
            const named = needsCluster(call) ? { ...call, method: `${call.method} (unreachable)` } : call;
            hold(file, named, got, (o) => normal(replace(o, places)));
          }
        });
      });
    }
  });

  const clusterBinaries = ["plugins", "kube", "etcd"];

  describe("kubernetes plugin against an API server", function () {
    this.timeout(300_000);
    let cluster: TestCluster;
    const isReady = (pod: Json): boolean => !/^(notready|crash|skipawait|initfail)-/.test(pod.metadata.name);
    /** Recorded name -> name here, for what the server or chance picks: UIDs, versions, addresses, field managers. */
    const renamed = new Map<string, string>();

    before(async function () {
      const missing = missingBinaries(...clusterBinaries);
      if (missing.length > 0) {
        console.log(`      skipped: no ${missing.join(", ")} in ${labBin} (LAB_BIN); make builds them`);
        this.skip();
      }
      cluster = await startCluster();
      cluster.playKubelet(isReady);
      await cluster.kubectl("create", "configmap", "preexisting", "-n", "default", "--from-literal=a=0");
      await cluster.api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", issuerCRD);
      const controllersMade = [
        "/apis/cert-manager.io/v1/issuers",
        "/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt",
      ];
      for (const path of controllersMade)
        await until(60_000, path, async () => (await cluster.api("GET", path)).status === 200);
      renamed
        .set("<PREFIX>/kp/pki/admin.kubeconfig", cluster.kubeconfig)
        .set("<BASE64 PEM>", Buffer.from("-----BEGIN\n").toString("base64"));
    });
    after(() => cluster?.stop());

    // What somebody else did to the cluster between two recordings.
    const between: Readonly<Record<string, (namespace: string, deployment: string) => Promise<void>>> = {
      "kubernetes/sim-07-refresh-drift.json": async (namespace, deployment) => {
        await cluster.kubectl("scale", "-n", namespace, `deployment/${deployment}`, "--replicas=3");
        await cluster.kubectl("label", "-n", namespace, `deployment/${deployment}`, "drift=yes");
        await cluster.kubectl("delete", "-n", namespace, "configmap/fixed");
      },
    };
    let deployment = "";

    for (const file of filesOf("kubernetes").filter(stateful)) {
      it(file, async () => {
        await between[file]?.("app-5a39a0e6", deployment);
        const failures: unknown[] = [];
        await inCommands(file, async (plugin, calls) => {
          await settledFor(calls).catch((error: unknown) => void failures.push(error));
          const slow: Promise<void>[] = [];
          for (const call of calls) {
            if (!needsCluster(call) && call.method !== "Configure" && call.method !== "Cancel") continue;
            if (isExcepted(file, call)) continue;
            if (call.method === "Create" && call.request.urn.endsWith(":apps/v1:Deployment::web"))
              deployment = call.request.properties.metadata.name;
            if (call.method === "Cancel") await Promise.all(slow);
            const compared = (async () => {
              const got = await plugin.call(call.method, unhurried(call, replace(call.request, renamed)));
              learn(expected(call), got, renamed);
              const form = formFor(file, call);
              const certificates = new Map([[renamed.get("<BASE64 PEM>")!, "<BASE64 PEM>"]]);
              hold(file, call, got, (o) => form(replace(o, certificates)));
            })().catch((error: unknown) => void failures.push(error));
            // A call that differs must not stop the next ones: they build on each other.
            // Calls that wait for pods that never come, or for a missing namespace or kind, wait in parallel.
            if (call.method === "Create" && (call.ms ?? 0) > 10_000) slow.push(compared);
            else await compared;
          }
        });
        if (failures.length > 0) throw failures[0];
      });
    }

    /** Waits until controllers have finished everything that the calls will see. */
    async function settledFor(calls: readonly Recorded[]): Promise<void> {
      const sees = ({ method, request }: Recorded): boolean =>
        method === "Read" || (method === "Update" && request.preview === true);
      const seen = calls.filter(sees).map(({ response }) => response?.properties);
      const controlled = seen.filter((object) => object?.status !== undefined);
      // Services last: their endpoints are complete when all pods are there.
      for (const object of controlled.filter(({ kind }) => kind !== "Service")) await cluster.settled(object);
      for (const object of controlled.filter(({ kind }) => kind === "Service")) await cluster.settled(object);
    }

    const direct = "kubernetes/direct-init-failure.json";
    it(direct, async () => {
      const plugin = await start("pulumi-resource-kubernetes");
      try {
        await plugin.call("Configure", {
          variables: { "kubernetes:config:kubeconfig": cluster.kubeconfig },
          acceptSecrets: true,
        });
        for (const [index, recorded] of recording(direct).entries()) {
          const call = { ...recorded, method: recorded.method.replace(/^./, (c) => c.toUpperCase()) } as Json;
          const name = `${direct}#${index}`;
          if (isExcepted(name, call)) continue;
          const wanted = ["id", "urn", "properties", "timeout"].filter((key) => call.request[key] !== undefined);
          const request = Object.fromEntries(wanted.map((key) => [key, call.request[key]]));
          const said: Json[] = [];
          plugin.messages();
          const calling = plugin.call(call.method, unhurried(call, replace(request, renamed)));
          if (call.method === "Delete") await heard(plugin, call.logs, said);
          const got = await calling;
          said.push(...plugin.messages());
          learn(call.error?.details[0], got.details?.[0], renamed);
          const { error } = call;
          const errors = error && [`rpc error: code = Unknown desc = ${error.message}`];
          assert.deepEqual(
            normal({ errors: got.errors, details: got.details, response: got.response }),
            normal({ errors, details: error?.details, response: error ? undefined : {} }),
            name,
          );
          assert.deepEqual(spoken(said), spoken(call.logs), name);
          enter(`${name} ${call.method}`);
        }
      } finally {
        await plugin.stop();
      }
    });

    /** Keeps the pods, and thus an object being deleted, until the plugin has said about it what it said in the recording. */
    async function heard(plugin: Plugin, logs: readonly Json[], said: Json[]): Promise<void> {
      cluster.playKubelet(undefined);
      const wanted = spoken(logs.filter(({ message }) => message !== ""));
      await until(30_000, "messages", async () => {
        said.push(...plugin.messages());
        return wanted.every((message) => spoken(said).includes(message));
      }).catch(() => undefined);
      cluster.playKubelet(isReady);
    }
  });
});

/** Machines differ in speed: a limit that the recorded call kept is lifted here, and one that it hit is at least 20 s. */
function unhurried(call: Json, { timeout, ...request }: Json): Json {
  const reached = timeout !== undefined && (call.errors ?? call.error) !== undefined;
  return reached ? { ...request, timeout: Math.max(timeout, 20) } : request;
}

/**
 * The order of messages is chance: they are compared as a set, with pod names masked, and without those about pods, which
 * come after ten seconds.
 */
const spoken = (messages: readonly Json[]): string[] =>
  messages
    .filter(({ message }) => !message.startsWith("[Pod "))
    .map(({ severity, ephemeral, message }) => normal({ severity, ephemeral, message }))
    .map((m) => JSON.stringify(m))
    .sort();

/** Pairs recorded values with those seen here, where the server or chance picks them. */
function learn(recorded: Json, here: Json, renamed: Map<string, string>, key = ""): void {
  if (typeof recorded === "string" && typeof here === "string") {
    if (
      recorded !== here &&
      ["uid", "resourceVersion", "__fieldManager", "clusterIP"].includes(key) &&
      recorded.length > 4
    )
      renamed.set(recorded, here);
  } else if (recorded !== null && here !== null && typeof recorded === "object" && typeof here === "object") {
    for (const k of Object.keys(recorded)) if (k in here) learn(recorded[k], here[k], renamed, k);
  }
}

/** What stands in for cert-manager's Issuer in the recordings. */
const issuerCRD = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "issuers.cert-manager.io" },
  spec: {
    group: "cert-manager.io",
    names: { kind: "Issuer", listKind: "IssuerList", plural: "issuers", singular: "issuer" },
    scope: "Namespaced",
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: {
              spec: {
                type: "object",
                properties: {
                  selfSigned: {
                    type: "object",
                    properties: { crlDistributionPoints: { type: "array", items: { type: "string" } } },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
};
