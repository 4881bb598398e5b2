import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { parse } from "yaml";

import { components, configFiles, type NodeSpec } from "../inside/components.ts";
import { makePki } from "../pki.ts";

const spec: NodeSpec = {
  port: 43210,
  config: "/lab/config",
  pki: "/lab/config/pki",
  logs: "/lab/log",
  cgroup: "mtls-lab-test",
  debian: "/cache/debian",
  kube: "/cache/kube",
  coredns: "/cache/coredns",
  pause: "/cache/pause",
};

describe("the lab's node", () => {
  let folder: string;
  let admin: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "lab-pki-"));
    admin = await makePki(folder, spec.port);
  });
  after(() => rmSync(folder, { recursive: true }));

  it("writes every file that a command line or another file names", () => {
    const written = [
      ...Object.keys(configFiles(spec)).map((name) => join(spec.config, name)),
      ...readdirSync(folder).map((name) => join(spec.pki, name)),
    ];
    const texts = [...components(spec).flatMap(({ command }) => command), ...Object.values(configFiles(spec))];
    const named = texts.flatMap((text) => text.match(/\/lab\/config\/[\w./-]*\.\w+/g) ?? []);
    assert.ok(named.length > 20);
    assert.deepEqual(
      named.filter((path) => !written.includes(path)),
      [],
    );
  });

  it("gets every certificate from its own CA, and has no key that others can read", () => {
    const ca = new X509Certificate(readFileSync(join(folder, "ca.crt")));
    for (const name of readdirSync(folder)) {
      assert.equal(statSync(join(folder, name)).mode & 0o077, 0, name);
      if (!name.endsWith(".crt") || name === "ca.crt") continue;
      const certificate = new X509Certificate(readFileSync(join(folder, name)));
      assert.ok(certificate.verify(ca.publicKey) && certificate.checkIssued(ca) && !certificate.ca, name);
    }
  });

  it("gives the host a kubeconfig for the relay's port", () => {
    const { clusters } = parse(admin) as { clusters: { cluster: { server: string } }[] };
    assert.deepEqual(
      clusters.map(({ cluster }) => cluster.server),
      ["https://127.0.0.1:43210"],
    );
  });

  it("puts only the relay into the host's network", () => {
    assert.deepEqual(
      components(spec)
        .filter(({ onHost }) => onHost)
        .map(({ name }) => name),
      ["relay"],
    );
  });
});
