// The rotation command line: phases, next steps, wording, and reissued leaves.

import { deepStrictEqual as same, equal } from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import type { Live } from "../../../rotation/live.ts";
import { statusOf } from "../../../rotation/phase.ts";
import { render } from "../../../tools/rotate/report.ts";
import { type Plane, planes } from "../../../vocabulary/planes.ts";
import { KubernetesApi } from "../../support/kubernetesApi.ts";
import { outputs } from "../../support/outputs.ts";

const digest = (plane: string, generation: string) => `${plane}-${generation}`.padEnd(64, "0");
const since = { "1": new Date("2026-01-01"), "2": new Date("2027-01-01") };

/** A platform with these generations, whose leaves are issued and served from one; its second pod and a consumer's bundle may lag. */
function live(
  generations: readonly string[],
  leaves: string,
  { consumer = generations, shop = leaves }: { consumer?: readonly string[]; shop?: string } = {},
): Live {
  const of = (plane: Plane, names: readonly string[]) => names.map((name) => digest(plane, name));
  return {
    roots: Object.fromEntries(
      planes.map((plane) => [plane, Object.fromEntries(generations.map((name) => [name, [digest(plane, name)]]))]),
    ),
    bundles: [
      ...planes.map((plane) => ({ plane, namespace: "mtls", name: `${plane}-trust`, roots: of(plane, generations) })),
      { plane: "upstream", namespace: "shop", name: "upstream-trust", roots: of("upstream", consumer) },
    ],
    pods: [{ namespace: "mtls", name: "upstream-a", started: { upstream: of("upstream", generations) } }],
    leaves: [
      ...planes.map((plane) => ({
        ...({
          kind: "Certificate",
          namespace: "mtls",
          name: `${plane}-leaf`,
          plane,
          wanted: leaves,
          issued: leaves,
        } as const),
      })),
      { kind: "Certificate", namespace: "shop", name: "shop", plane: "upstream", wanted: shop, issued: shop },
    ],
    servers: [{ namespace: "mtls", pod: "upstream-a", port: 8443, plane: "upstream", generation: leaves }],
    objects: [],
  };
}
const phaseOf = (...args: Parameters<typeof live>) => {
  const { phase, signing, waitsFor, outdated, next } = statusOf(live(...args), "mtls", since);
  return { phase, signing, waitsFor, outdated, next };
};

describe("the phase of a rotation", () => {
  it("is derived at each step from what is live, with the edit that comes next", () => {
    const nobody = { waitsFor: [], outdated: [] };
    same(phaseOf(["1"], "1"), {
      ...{ phase: "settled", signing: ["1"], ...nobody, next: { active: "1", trusted: ["1", "2"] } },
    });
    same(phaseOf(["1", "2"], "1", { consumer: ["1"] }), {
      ...{ phase: "preparing", signing: ["1"], outdated: [], next: undefined },
      waitsFor: ["ConfigMap shop/upstream-trust lacks the upstream root"],
    });
    same(phaseOf(["1", "2"], "1"), {
      ...{ phase: "prepared", signing: ["1"], ...nobody, next: { active: "2", trusted: ["1", "2"] } },
    });
    same(phaseOf(["1", "2"], "2", { shop: "1" }), {
      ...{ phase: "activated", signing: ["2"], outdated: [], next: undefined },
      waitsFor: ['Certificate shop/shop names the issuer of generation "1"'],
    });
    same(phaseOf(["1", "2"], "2"), {
      ...{ phase: "retirable", signing: ["2"], ...nobody, next: { active: "2", trusted: ["2"] } },
    });
    same(phaseOf(["2"], "2", { consumer: ["1", "2"] }), {
      ...{ phase: "settled", signing: ["2"], waitsFor: [], next: { active: "2", trusted: ["2", "3"] } },
      outdated: ["ConfigMap shop/upstream-trust has a root of the upstream plane that is not trusted here"],
    });
  });

  it("of a platform that is not up yet is empty", () => {
    const nothing: Live = { roots: {}, bundles: [], pods: [], leaves: [], servers: [], objects: [] };
    const { phase, signing, next } = statusOf(nothing, "mtls", {});
    same({ phase, signing, next }, { phase: "settled", signing: [], next: undefined });
  });

  it("is shown plane by plane, and ends with what to do", () => {
    const halfway = live(["1", "2"], "2", { shop: "1" });
    const only = { ...halfway, roots: { upstream: halfway.roots.upstream! } };
    equal(
      render(statusOf(only, "mtls", since), "dev"),
      `Plane     Generation  Root          Trusted by  Leaves  Servers
upstream  1           upstream-100  3 of 3      1       0
          2, signs    upstream-200  3 of 3      1       1

Leaves by plane and generation:
  upstream, 1: shop/shop
  upstream, 2: mtls/upstream-leaf

Waits for:
  Certificate shop/shop names the issuer of generation "1"

Activated. Next: pulumi up -s dev and in the stacks that own what it waits for. To go back: the previous pki.root.active.
`,
    );
    equal(
      render(statusOf({ ...live(["1", "2"], "2"), roots: only.roots }, "mtls", since), "dev")
        .split("\n")
        .at(-2),
      'Activated, and nobody needs the older generation. Next: pki.root.active: "2" and pki.root.trusted: ["2"] in Pulumi.dev.yaml, then pulumi up -s dev',
    );
  });
});

describe("tools/rotate/cli.ts", function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), "rotate-"));
  let api: KubernetesApi;

  before(async () => {
    api = await KubernetesApi.start(outputs.admin.cluster);
    writeFileSync(join(folder, "kubeconfig"), api.kubeconfig);
  });
  after(async () => {
    await api.stop();
    rmSync(folder, { recursive: true });
  });

  /** The command line, with a Pulumi that knows these outputs. */
  function cli(
    args: readonly string[],
    given: object = outputs,
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    writeFileSync(join(folder, "outputs.json"), JSON.stringify(given));
    const script = `#!/bin/sh
case "$*" in "stack output"*) cat ${folder}/outputs.json ;; *) echo "{}" ;; esac
`;
    writeFileSync(join(folder, "pulumi"), script, { mode: 0o755 });
    const env = { ...process.env, PATH: `${folder}:/usr/bin:/bin`, KUBECONFIG: join(folder, "kubeconfig") };
    const cwd = resolve(import.meta.dirname, "../../..");
    return new Promise((done) => {
      execFile(process.execPath, ["tools/rotate/cli.ts", ...args], { cwd, env }, (error, stdout, stderr) =>
        done({ code: Number(error?.code ?? 0), stdout, stderr }),
      );
    });
  }

  it("explains itself, and exits with 2 if the command is wrong", async () => {
    const first = "Usage: node tools/rotate/cli.ts status [--stack NAME] [--context NAME] [--json]";
    const helped = await cli(["--help"]);
    same([helped.code, helped.stdout.split("\n")[0], helped.stderr], [0, first, ""]);
    for (const args of [[], ["state"], ["status", "gateway"], ["renew"], ["renew", "gateway", "--all"]]) {
      const { code, stdout, stderr } = await cli(args);
      same({ args, code, stdout, told: stderr.split("\n")[0] }, { args, code: 2, stdout: "", told: first });
    }
  });

  it("exits with 2 if the platform was brought up by an older release", async () => {
    const { generations: _, ...older } = { ...outputs, generations: undefined };
    same(await cli(["status", "-s", "dev"], older), {
      ...{ code: 2, stdout: "" },
      stderr: "The platform was last updated by a release without generations of roots. Run pulumi up -s dev first.\n",
    });
  });

  it("has every leaf of the platform reissued, and reports each result", async () => {
    const path = "/apis/cert-manager.io/v1/namespaces/mtls/certificates";
    const certificate = (name: string, issuer: string) => ({
      metadata: { namespace: "mtls", name, generation: 3 },
      spec: { issuerRef: { name: issuer, kind: "Issuer", group: "cert-manager.io" } },
      status: { revision: 1, conditions: [{ type: "Ready", status: "True" }] },
    });
    const [leaf, refused] = [certificate("etcd-server", "etcd"), certificate("etcd-peer", "etcd-peer-2")];
    api.answers.set(path, { items: [leaf, refused, certificate("etcd-root", "etcd-self-signed")] });
    for (const one of [leaf, refused]) api.answers.set(`${path}/${one.metadata.name}`, one);
    const written: object[] = [];
    api.onWrite = (request, body) => {
      if (request.includes("etcd-peer")) return 403;
      const { status } = body as typeof leaf;
      written.push({
        request,
        ...status,
        conditions: status.conditions.map(({ type, status }) => `${type}=${status}`),
      });
      // What cert-manager does.
      api.answers.set(`${path}/etcd-server`, { ...leaf, status: { ...leaf.status, revision: 2 } });
      return body;
    };
    const { code, stdout } = await cli(["renew", "--all"]);
    same(written, [
      { request: `PUT ${path}/etcd-server/status`, revision: 1, conditions: ["Ready=True", "Issuing=True"] },
    ]);
    equal(
      stdout,
      "mtls/etcd-server: reissued, revision 2\n" +
        `mtls/etcd-peer: grant the kubeconfig's user "get" on certificates and "update" on certificates/status (docs/roles.md)\n`,
    );
    equal(code, 1);
  });

  it("has one leaf reissued by name, in any namespace", async () => {
    const { code, stdout } = await cli(["renew", "shop/gone", "--json"]);
    same([code, JSON.parse(stdout)], [1, [{ namespace: "shop", name: "gone", failure: "no such Certificate" }]]);
  });
});
