// The stack's outputs from a file or from Pulumi, and what is said when they are not what they must be.

import { deepEqual, equal, rejects, throws } from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Plane } from "../../components/planes.ts";
import type { PlatformOutputs } from "../../outputs.ts";
import { parseOutputs, readOutputs } from "../../verify/outputs.ts";

const pods = { namespace: "mtls", selector: "app=x", port: 1, serverName: "x" };
const secret = { namespace: "mtls", name: "x" };
const entry = { ...secret, key: "k" };
const trust = <P extends Plane>(plane: P) => ({ ...entry, plane });
const issuer = <P extends Plane>(plane: P) => ({
  plane,
  kind: "Issuer" as const,
  name: plane,
  group: "cert-manager.io",
});

const outputs: PlatformOutputs = {
  trustDomain: "dev",
  namespace: "mtls",
  gateway: { ...pods, url: "https://upstream/", service: { ...secret, port: 443 }, trust: trust("edge") },
  admin: { ...pods, cluster: "uid", trust: entry, certificate: secret, key: entry },
  store: {
    ...pods,
    cluster: "uid",
    trust: entry,
    certificate: secret,
    endpoints: ["https://etcd:2379"],
    peer: pods,
    user: "apisix",
    password: entry,
    prefix: "/apisix",
  },
  upstream: {
    node: { host: "upstream.mtls.svc", port: 443 },
    serverName: "upstream.mtls.svc",
    trust: trust("upstream"),
    clientCertificate: { ...secret, plane: "upstream" },
    pods,
  },
  issuers: {
    etcd: issuer("etcd"),
    "etcd-peer": issuer("etcd-peer"),
    admin: issuer("admin"),
    edge: issuer("edge"),
    upstream: issuer("upstream"),
  },
  trust: {
    etcd: trust("etcd"),
    "etcd-peer": trust("etcd-peer"),
    admin: trust("admin"),
    edge: trust("edge"),
    upstream: trust("upstream"),
  },
  roots: { etcd: "PEM", "etcd-peer": "PEM", admin: "PEM", edge: "PEM", upstream: "PEM" },
  routes: [{ id: "hello", hosts: ["upstream"], uris: ["/"] }],
};

describe("stack outputs", () => {
  it("are taken as they are when they are whole", () => {
    deepEqual(parseOutputs(outputs), outputs);
  });

  it("are refused with everything that is missing or of the wrong kind", () => {
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

  describe("from outside", () => {
    let folder = "";
    const path = process.env.PATH;
    before(async () => (folder = await mkdtemp(join(tmpdir(), "outputs-"))));
    after(() => rm(folder, { recursive: true }));
    afterEach(() => (process.env.PATH = path));
    /** A `pulumi` that answers so; nothing else is on PATH. */
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

    it("come from the Pulumi CLI, for the stack that is named", async () => {
      await pulumi(
        `[ "$PWD $*" = "${folder} stack output --json -s dev" ] && echo '${JSON.stringify(outputs)}' || echo '{}'`,
      );
      deepEqual(await readOutputs({ stack: "dev" }, folder), outputs);
      await rejects(readOutputs({}, folder), /^Error: stack output "trustDomain" is missing/);
    });

    it("fail with Pulumi's own words", async () => {
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
