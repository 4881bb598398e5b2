// The stack's outputs from a file or from Pulumi, and what is said if they are not as they must be.

import { deepEqual, equal, rejects, throws } from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { parseOutputs } from "../../../outputs.ts";
import { readOutputs } from "../../../tools/verify/outputs.ts";
import { outputs } from "../../support/outputs.ts";

describe("stack outputs", () => {
  it("are taken as they are if complete", () => {
    deepEqual(parseOutputs(outputs), outputs);
  });

  it("may lack what a later release of the same contract added, but not have it in another form", () => {
    const { serverCertificates, ...earlier } = outputs;
    deepEqual(parseOutputs(earlier), earlier);
    throws(() => parseOutputs({ ...earlier, serverCertificates: { ...serverCertificates, edge: undefined } }), {
      message: `stack output "serverCertificates.edge" is missing\nRun \`pulumi up\` first.`,
    });
  });

  it("are refused, naming everything that is missing or of the wrong type", () => {
    const { gateway: _gateway, ...rest } = outputs;
    const broken = {
      ...rest,
      admin: { ...outputs.admin, port: "9180" },
      store: { ...outputs.store, endpoints: "https://etcd:2379" },
      issuers: { ...outputs.issuers, edge: null },
      routes: [{ id: "hello", hosts: ["upstream"], uris: [1] }],
      upstream: "https://upstream",
    };
    throws(() => parseOutputs(broken, "dev"), {
      message: `stack output "gateway" is missing
stack output "admin.port" must be a number, but is "9180"
stack output "store.endpoints" must be a list, but is "https://etcd:2379"
stack output "upstream" must be an object, but is "https://upstream"
stack output "issuers.edge" is missing
stack output "routes[0].uris[0]" must be a string, but is 1
Run \`pulumi up -s dev\` first.`,
    });
  });

  it("are refused if of another version, before anything else is said about them", () => {
    throws(() => parseOutputs({ ...outputs, contract: 3, gateway: undefined }, "dev"), {
      message:
        "The outputs of stack dev are version 3, but this program reads version 2 or 1. " +
        "Use the release of mtls-everywhere that deployed the platform.",
    });
  });

  describe("from outside", () => {
    let folder = "";
    const path = process.env.PATH;
    before(async () => (folder = await mkdtemp(join(tmpdir(), "outputs-"))));
    after(() => rm(folder, { recursive: true }));
    afterEach(() => (process.env.PATH = path));
    /** A `pulumi` that runs this; nothing else is on PATH. */
    const pulumi = async (script: string) => {
      await writeFile(join(folder, "pulumi"), `#!/bin/sh\n${script}\n`);
      await chmod(join(folder, "pulumi"), 0o755);
      process.env.PATH = folder;
    };

    it("come from a file", async () => {
      const file = join(folder, "outputs.json");
      await writeFile(file, JSON.stringify(outputs));
      deepEqual(await readOutputs({ file }, folder), outputs);
    });

    it("come from the Pulumi CLI, for the named stack", async () => {
      await pulumi(
        `[ "$PWD $*" = "${folder} stack output --json -s dev" ] && echo '${JSON.stringify(outputs)}' || echo '{}'`,
      );
      deepEqual(await readOutputs({ stack: "dev" }, folder), outputs);
      await rejects(readOutputs({}, folder), /^Error: stack output "contract" is missing/);
    });

    it("fail with Pulumi's own message", async () => {
      await pulumi("echo 'error: no stack named dev found' >&2; exit 255");
      await rejects(readOutputs({ stack: "dev" }, folder), {
        message: "pulumi stack output --json -s dev failed: error: no stack named dev found",
      });
    });

    it("say what to do without the Pulumi CLI, and without JSON", async () => {
      process.env.PATH = join(folder, "nothing");
      await rejects(readOutputs({}, folder), {
        message: "pulumi is not on PATH: put it there, or give the outputs with --outputs FILE.",
      });
      await writeFile(join(folder, "text"), "no JSON");
      const error: unknown = await readOutputs({ file: join(folder, "text") }, folder).catch((error: unknown) => error);
      equal(String(error).startsWith("Error: The stack outputs are not JSON: "), true);
    });
  });
});
