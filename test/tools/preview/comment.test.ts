// The comment on a pull request: what a reviewer reads, and what must never get there.

import { equal, match, ok } from "node:assert/strict";
import { execFileSync } from "node:child_process";

import { previewComment, type State, type Step } from "../../../tools/preview/comment.ts";

const stack = "urn:pulumi:dev::platform::pulumi:pulumi:Stack::platform-dev";
const urn = (type: string, name: string) => `urn:pulumi:dev::platform::${type}::${name}`;

/** A step on a resource, by default directly under the stack. */
function step(op: string, type: string, name: string, more: Partial<Step> & { state?: Partial<State> } = {}): Step {
  const { state, ...rest } = more;
  const at = { type, parent: stack, ...state };
  return { op, urn: urn(type, name), ...(op === "create" ? { newState: at } : { oldState: at }), ...rest };
}

const component = step("same", "mtls:platform:Etcd", "etcd");
const inEtcd = { state: { parent: component.urn } };

describe("the comment on a preview", () => {
  it("counts by component, and lists every change with its properties", () => {
    const comment = previewComment(
      {
        changeSummary: {},
        steps: [
          component,
          step("update", "kubernetes:apps/v1:StatefulSet", "etcd", {
            ...inEtcd,
            detailedDiff: { "spec.replicas": {}, a: {}, b: {}, c: {}, d: {} },
          }),
          step("create", "kubernetes:core/v1:Service", "etcd-peers", inEtcd),
          step("create", "pulumi-nodejs:dynamic/mtls:ApisixRoute", "hello"),
          step("read", "kubernetes:core/v1:Namespace", "namespace"),
          step("delete", "kubernetes:core/v1:ConfigMap", "old", inEtcd),
        ],
      },
      "dev",
    );
    equal(
      comment,
      `<!-- mtls-everywhere preview of dev -->

### Preview of \`dev\`: 2 to create, 1 to update, 1 to delete

| component | create | update | replace | delete |
| --- | ---: | ---: | ---: | ---: |
| \`etcd\` | 1 | 1 |  | 1 |
| \`hello\` | 1 |  |  |  |

<details><summary>All changes</summary>

- delete \`old\` (ConfigMap)
- update \`etcd\` (StatefulSet): \`spec.replicas\`, \`a\`, \`b\`, \`c\` and 1 more
- create \`etcd-peers\` (Service)
- create \`hello\` (ApisixRoute)

</details>
`,
    );
  });

  it("counts a replacement once", () => {
    const steps = ["create-replacement", "replace", "delete-replaced"].map((op) =>
      step(op, "kubernetes:apps/v1:Deployment", "apisix"),
    );
    match(previewComment({ changeSummary: {}, steps }, "dev"), /^### Preview of `dev`: 1 to replace$/m);
  });

  it("says so if nothing would change", () => {
    const comment = previewComment({ changeSummary: {}, steps: [component] }, "dev");
    equal(comment, "<!-- mtls-everywhere preview of dev -->\n\n### Preview of `dev`: no changes\n");
  });

  const certificate = "kubernetes:cert-manager.io/v1:Certificate";
  const losses: [string, Step, boolean][] = [
    [
      "a deleted root certificate",
      step("delete", certificate, "root", { state: { inputs: { spec: { isCA: true } } } }),
      true,
    ],
    ["a replaced root key", step("replace", "tls:index/privateKey:PrivateKey", "root-key"), true],
    ["a deleted state-held root", step("delete", "tls:index/selfSignedCert:SelfSignedCert", "root"), true],
    ["a replaced issuer", step("replace", "kubernetes:cert-manager.io/v1:ClusterIssuer", "edge"), true],
    ["a deleted authority", step("delete", "mtls:platform:CertificateAuthority", "pki-edge"), true],
    ["a deleted namespace with keys", step("delete", "kubernetes:core/v1:Namespace", "cert-manager-namespace"), true],
    ["a deleted cert-manager", step("delete", "kubernetes:helm.sh/v3:Release", "cert-manager-release"), true],
    [
      "a cert-manager that stays",
      step("delete", "kubernetes:helm.sh/v3:Release", "cert-manager-release", { state: { retainOnDelete: true } }),
      false,
    ],
    ["a new root key", step("create", "tls:index/privateKey:PrivateKey", "root-key"), false],
    ["an updated issuer", step("update", "kubernetes:cert-manager.io/v1:Issuer", "etcd"), false],
    ["a deleted leaf", step("delete", certificate, "leaf", { state: { inputs: { spec: {} } } }), false],
    ["a renewed intermediate", step("replace", "tls:index/locallySignedCert:LocallySignedCert", "between"), false],
  ];
  for (const [what, loss, warned] of losses) {
    it(`${warned ? "warns of" : "does not warn of"} ${what}`, () => {
      equal(previewComment({ changeSummary: {}, steps: [loss] }, "dev").includes("[!WARNING]"), warned);
    });
  }

  it("shows why a preview failed, and cannot be broken out of", () => {
    const comment = previewComment(
      {
        steps: [],
        diagnostics: [
          { severity: "error", message: "bad\n```\n# owned\n" },
          { severity: "info", message: "using" },
        ],
      },
      "dev",
    );
    equal(
      comment,
      "<!-- mtls-everywhere preview of dev -->\n\n### Preview of `dev`: failed\n\n````text\nbad\n```\n# owned\n````\n",
    );
    const named = previewComment(
      { changeSummary: {}, steps: [step("create", "a:b:C", "x` | <img>\n# owned")] },
      "de`v -->",
    );
    ok(!/^# owned/m.test(named) && named.includes("`x_ _ <img>_# owned`"));
    ok(named.startsWith("<!-- mtls-everywhere preview of de-v---- -->"));
  });

  it("treats an unfinished preview as failed", () => {
    const diagnostics = [
      { severity: "info#err", message: "\u001b[31mno such module\u001b[39m\n" },
      { severity: "info#err", message: "\n" },
    ];
    const failed = "<!-- mtls-everywhere preview of dev -->\n\n### Preview of `dev`: failed\n\n";
    equal(previewComment({ diagnostics }, "dev"), `${failed}\`\`\`text\nno such module\n\`\`\`\n`);
    match(previewComment({}, "dev"), /failed\n\n```text\npulumi preview did not finish/);
  });

  it("never shows a value", () => {
    const inputs = { stringData: { password: "s3cret-value" } };
    const detailedDiff = { "stringData.password": { kind: "update", from: "s3cret-value" } };
    const change = step("update", "kubernetes:core/v1:Secret", "env", { state: { inputs }, detailedDiff });
    const comment = previewComment({ changeSummary: {}, steps: [change] }, "dev");
    ok(comment.includes("stringData.password") && !comment.includes("s3cret"));
  });

  it("stays within GitHub's limit", () => {
    const steps = Array.from({ length: 3000 }, (_, i) =>
      step("create", "kubernetes:core/v1:ConfigMap", `map-${i}-${"x".repeat(60)}`, inEtcd),
    );
    const comment = previewComment({ changeSummary: {}, steps: [component, ...steps] }, "dev");
    ok(comment.length < 65_536);
    match(comment, /- and 2800 more/);
  });

  it("is printed by the command line too, whatever pulumi printed", () => {
    const run = (input: string) =>
      execFileSync(process.execPath, ["tools/preview/comment.ts", "--stack", "dev"], { input, encoding: "utf8" });
    match(run('{ "steps": [], "changeSummary": {} }'), /no changes/);
    match(run(""), /pulumi preview printed nothing/);
  });

  it("skips what is printed around the JSON, and quotes nothing that it cannot parse (case 10)", () => {
    const run = (input: string) =>
      execFileSync(process.execPath, ["tools/preview/comment.ts", "--stack", "dev"], { input, encoding: "utf8" });
    const answer = JSON.stringify({ config: { key: "s3cret" }, steps: [], changeSummary: {} }, undefined, 4);
    const around = `Installing policy pack mtls...\n{ "not": it\n${answer}\nFinished installing policy pack\n`;
    for (const printed of [answer, around]) match(run(printed), /^### Preview of `dev`: no changes$/m);
    equal(
      run(around.slice(0, -60)),
      "<!-- mtls-everywhere preview of dev -->\n\n### Preview of `dev`: failed\n\n" +
        "```text\npulumi preview did not print JSON; its output is in the run's log.\n```\n",
    );
  });
});
