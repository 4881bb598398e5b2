// Reads public roots from Secrets, never their keys.

import { deepStrictEqual as same, rejects, strictEqual as equal } from "node:assert/strict";

import { create, diff, read, update } from "../../dynamic-resources/resources.ts";
import { clusterUid, MemoryCluster } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";

describe("root certificates", () => {
  const cluster = new MemoryCluster();
  const inputs = (...names: string[]) => ({
    cluster: clusterUid,
    secrets: names.map((name) => ({ namespace: "mtls", name })),
  });
  const log = console.log;
  let edge: Authority;
  let admin: Authority;

  before(async () => {
    console.log = () => {};
    edge = await Authority.create("edge");
    admin = await Authority.create("admin");
    const leaf = await edge.leaf({ subject: "CN=leaf" });
    cluster.secrets.set("mtls/root", { "tls.crt": edge.root, "tls.key": "never read" });
    cluster.secrets.set("mtls/leaf", { "ca.crt": edge.root, "tls.crt": leaf.cert });
    cluster.secrets.set("mtls/admin", { "ca.crt": admin.root, "tls.crt": admin.root });
    cluster.secrets.set("mtls/bare-leaf", { "tls.crt": leaf.cert });
  });

  after(() => {
    console.log = log;
  });

  it("are joined, each once", async () => {
    const asked = inputs("root", "leaf", "admin");
    const normal = (pem: string) => pem.replace(/\s+/g, "");
    const { id, outs } = await create("rootCertificates", asked, cluster);
    equal(normal(String(outs["pem"])), normal(edge.root + admin.root));
    same({ id, outs }, { id: "mtls/root", outs: { ...asked, pem: outs["pem"] } });
    equal((await diff("rootCertificates", id, outs, asked, cluster)).changes, false);
    same(await read("rootCertificates", id, outs, cluster), { id, props: outs });
  });

  it("show a renewed root without a refresh, and a missing one, which cert-manager issues again (case 1)", async () => {
    const { id, outs } = await create("rootCertificates", inputs("admin"), cluster);
    cluster.secrets.set("mtls/admin", { "tls.crt": (await Authority.create("admin")).root });
    equal((await diff("rootCertificates", id, outs, inputs("admin"), cluster)).changes, true);
    cluster.secrets.delete("mtls/admin");
    equal((await diff("rootCertificates", id, outs, inputs("admin"), cluster)).changes, true);
    // Not gone: recreated, they would forget the lost one, which leaves are still verified with.
    same(await read("rootCertificates", id, outs, cluster), { id, props: outs });
    const issuedAgain = setTimeout(() => cluster.secrets.set("mtls/admin", { "tls.crt": admin.root }), 500);
    const { outs: again } = await update("rootCertificates", id, outs, inputs("admin"), cluster);
    clearTimeout(issuedAgain);
    same(again, outs);
  });

  it("stay if one is reissued with another key: what the lost one signed is still in use", async () => {
    const [first, second] = [await Authority.create("lost"), await Authority.create("found")];
    cluster.secrets.set("mtls/again", { "tls.crt": first.root });
    const asked = inputs("again");
    const { id, outs } = await create("rootCertificates", asked, cluster);
    cluster.secrets.set("mtls/again", { "tls.crt": second.root });
    equal((await diff("rootCertificates", id, outs, asked, cluster)).changes, true);
    const after = await update("rootCertificates", id, outs, asked, cluster);
    const normal = (pem: unknown) => String(pem).replace(/\s+/g, "");
    equal(normal(after.outs["pem"]), normal(first.root + second.root));
    equal((await diff("rootCertificates", id, after.outs, asked, cluster)).changes, false);
    same(await read("rootCertificates", id, after.outs, cluster), { id, props: after.outs });
  });

  it("are refused if they are not authorities", async () => {
    await rejects(create("rootCertificates", inputs("bare-leaf"), cluster), {
      message: 'Secret mtls/bare-leaf: "CN=leaf" is not a certificate authority.',
    });
  });
});
