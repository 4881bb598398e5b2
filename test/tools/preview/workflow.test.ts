// The workflow that previews pull requests: what it may do, and when it runs.

import { deepEqual, equal } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "yaml";

interface Job {
  readonly if?: string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly steps: readonly {
    readonly uses?: string;
    readonly run?: string;
    readonly env?: Readonly<Record<string, string>>;
  }[];
}

const text = readFileSync(join(import.meta.dirname, "../../../.github/workflows/preview.yml"), "utf8");
const workflow = parse(text) as {
  readonly on: unknown;
  readonly permissions: unknown;
  readonly jobs: Readonly<Record<string, Job>>;
};
const jobs = Object.values(workflow.jobs);
const secret = /\$\{\{ *secrets\./;

describe("the preview of pull requests", () => {
  it("runs on the pull request's own event, which gives forks no secrets", () => {
    equal(workflow.on, "pull_request");
  });

  it("may read the code, and write comments in the job that previews", () => {
    deepEqual(workflow.permissions, { contents: "read" });
    deepEqual(
      Object.entries(workflow.jobs).map(([name, { permissions }]) => [name, permissions]),
      [["preview", { contents: "read", "pull-requests": "write" }]],
    );
  });

  it("gives secrets to single steps of jobs that no fork can start", () => {
    for (const job of jobs.filter((job) => secret.test(JSON.stringify(job)))) {
      equal(job.if, "github.event.pull_request.head.repo.full_name == github.repository");
      const { steps, ...rest } = job;
      equal(secret.test(JSON.stringify(rest)), false);
      for (const { run } of steps) equal(secret.test(run ?? ""), false);
      // What npm installs runs other people's scripts.
      equal(secret.test(JSON.stringify(steps.find(({ run }) => run?.startsWith("npm ci")))), false);
    }
  });

  it("reaches the state in both preview steps, in an S3 bucket or Pulumi Cloud, as the header says", () => {
    const previews = jobs
      .flatMap(({ steps }) => steps)
      .filter(({ uses, run }) => uses?.startsWith("pulumi/actions@") || run?.includes("pulumi preview"));
    const needed = ["PULUMI_ACCESS_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PULUMI_CONFIG_PASSPHRASE"];
    equal(previews.length, 2);
    for (const { env = {} } of previews) {
      for (const name of needed) equal(env[name], `\${{ secrets.${name} }}`);
      equal(env["AWS_REGION"], "${{ vars.AWS_REGION }}");
    }
    const header = text.slice(0, text.indexOf("\nname:"));
    const settings = [...text.matchAll(/\b(?:secrets|vars)\.(\w+)/g)].map(([, name = ""]) => name);
    deepEqual(
      settings.filter((name) => !header.includes(name)),
      [],
    );
  });
});
