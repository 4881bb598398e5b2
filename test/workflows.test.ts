// What holds for every workflow: whose code runs, with which rights, and which job has the release's rights.

import { deepEqual, equal, match, notEqual } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "yaml";

type Permissions = Readonly<Record<string, string>>;

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
  readonly permissions?: Permissions;
  readonly needs?: string;
  readonly uses?: string;
  readonly steps?: readonly Step[];
}

interface Workflow {
  readonly on: string | Readonly<Record<string, unknown>>;
  readonly permissions?: Permissions;
  readonly jobs: Readonly<Record<string, Job>>;
}

const folder = join(import.meta.dirname, "../.github/workflows");
const workflows = readdirSync(folder).map((file) => {
  const text = readFileSync(join(folder, file), "utf8");
  return { file, text, workflow: parse(text) as Workflow };
});
const stepsOf = ({ jobs }: Workflow) => Object.values(jobs).flatMap(({ steps = [] }) => steps);

describe("every workflow", () => {
  it("pins each third-party action to a commit, with its version in a comment", () => {
    for (const { file, text } of workflows)
      for (const line of text.split("\n").filter((line) => /\buses:/.test(line) && !line.includes("uses: ./")))
        match(line, /^ +(- )?uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, file);
  });

  it("uses one version of each action", () => {
    const pins = workflows.flatMap(({ text }) => [...text.matchAll(/uses: ([\w/-]+)@(.*)/g)].map(([, ...pin]) => pin));
    const versions = Map.groupBy(pins, ([action]) => action);
    for (const [action, found] of versions) equal(new Set(found.map(([, version]) => version)).size, 1, action);
  });

  it("runs on no event that gives a fork's code the secrets or rights of this repository", () => {
    for (const { file, workflow } of workflows) {
      const events = typeof workflow.on === "string" ? [workflow.on] : Object.keys(workflow.on);
      const safe = ["push", "pull_request", "workflow_call"];
      deepEqual(
        events.filter((event) => !safe.includes(event)),
        [],
        file,
      );
    }
  });

  it("may only read the code, unless a job asks for more", () => {
    for (const { file, workflow } of workflows) {
      notEqual(workflow.permissions, undefined, file);
      const { contents = "read", ...others } = workflow.permissions ?? {};
      deepEqual({ contents, ...others }, { contents: "read" }, file);
    }
  });

  it("leaves no token in the checkout", () => {
    for (const { workflow } of workflows)
      for (const step of stepsOf(workflow).filter(({ uses }) => uses?.startsWith("actions/checkout@")))
        equal(step.with?.["persist-credentials"], false);
  });

  it("puts nothing that somebody else controls into a shell", () => {
    for (const { workflow } of workflows)
      for (const { run = "" } of stepsOf(workflow)) equal(run.includes("${{"), false, run);
  });

  it("uses the Node.js version in .node-version", () => {
    const setups = workflows.flatMap(({ workflow }) =>
      stepsOf(workflow).filter(({ uses }) => uses?.startsWith("actions/setup-node@")),
    );
    notEqual(setups.length, 0);
    for (const { with: inputs } of setups)
      deepEqual([inputs?.["node-version-file"], inputs?.["node-version"]], [".node-version", undefined]);
  });
});

describe("the workflow of a release", () => {
  const { jobs } = workflows.find(({ file }) => file === "release.yml")!.workflow;

  it("may write in just one job, which runs nothing that npm installs", () => {
    deepEqual(
      Object.entries(jobs).map(([name, { permissions }]) => [name, permissions]),
      [
        ["tag", { contents: "read" }],
        ["ci", { contents: "read" }],
        ["package", { contents: "read" }],
        ["draft", { contents: "write", "id-token": "write", attestations: "write" }],
      ],
    );
    for (const { run = "" } of jobs["draft"]?.steps ?? [])
      equal(/\bnpm (?!sbom --package-lock-only)|\bnpx\b|\bmake\b/.test(run.replace(/#.*/g, "")), false, run);
  });

  it("checks the tag first, then everything else, and drafts last", () => {
    deepEqual(
      Object.entries(jobs).map(([name, job]) => [name, job.needs, job.uses]),
      [
        ["tag", undefined, undefined],
        ["ci", "tag", "./.github/workflows/ci.yml"],
        ["package", "ci", undefined],
        ["draft", "package", undefined],
      ],
    );
    match(jobs["draft"]?.steps?.at(-1)?.run ?? "", /^gh release create .* --draft --verify-tag /);
  });
});
