// The egress proxy's configuration in a real nginx, between a gateway's client certificate and servers outside.

import { deepStrictEqual as same, match, strictEqual as equal } from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { KeyPair } from "../../cluster-access/certificates.ts";
import { egressCommand, egressConfig, egressPaths, rootsFile } from "../../components/egressConfig.ts";
import { layOut, type Nginx, put, startNginx } from "../../lab/nginx.ts";
import { freePort } from "../../lab/ports.ts";
import { makeFolder, removeFolder } from "../../lab/temporary.ts";
import { Authority } from "../support/authorities.ts";
import { type Seen, startNameServer, startOutside } from "../support/outside.ts";

const gateway = { trustDomain: "dev.example", namespace: "mtls", serviceAccount: "apisix" };
const subject = (name: string) => `O=dev.example,OU=mtls,CN=${name}`;
/** No certificate. */
const none: KeyPair = { cert: "", key: "" };
const resolver = "127.0.0.153";

describe("an egress proxy's nginx", function () {
  this.timeout(60_000);

  let folder: string | undefined;
  let root: string;
  let port: number;
  let outside: number;
  let nginx: Nginx;
  let caller: KeyPair;
  let stranger: KeyPair;
  let plane: Authority;
  let ours: Authority;
  const names = new Map<string, string>();
  const stops: (() => unknown)[] = [];

  before("it starts", async function () {
    if (process.platform !== "linux" || process.getuid?.() !== 0) this.skip(); // a chroot, and port 53
    const [partner, other] = [await Authority.create("partner"), await Authority.create("other")];
    const issuing = await partner.intermediate("partner's intermediate");
    [plane, ours] = [await Authority.create("upstream"), await Authority.create("ours")];
    caller = await plane.leaf({ subject: subject("apisix") });
    stranger = await plane.leaf({ subject: subject("shop") });

    const leaf = await issuing.leaf({ dnsNames: ["api.partner.example"], usages: ["server auth"] });
    const shown = { ...leaf, cert: leaf.cert + issuing.root };
    const one = await startOutside(shown, "127.0.0.1");
    outside = one.port;
    const two = await startOutside(shown, "127.0.0.2", one.port);
    const dns = await startNameServer(resolver, names);
    stops.push(one.stop, two.stop, dns.stop);
    for (const name of ["api.partner.example", "api.other.example"]) names.set(name, "127.0.0.1");

    const described = { host: "api.partner.example", port: one.port, roots: partner.root };
    const services = {
      partner: described,
      known: { ...described, clientCertificate: { namespace: "mtls", name: "for-partner" } },
      distrusted: { ...described, roots: other.root },
      misnamed: { ...described, host: "api.other.example" },
      lost: { ...described, host: "gone.partner.example" },
    };
    port = await freePort();
    const config = egressConfig("egress", { namespace: "mtls", image: "nginx:1.22", services }, [gateway]);
    const files: Record<string, string> = {
      "/etc/resolv.conf": `search mtls.svc.cluster.local\nnameserver ${resolver}\noptions ndots:5\n`,
      [`${egressPaths.config}/nginx.conf`]: config.replaceAll("listen 8443 ", `listen 127.0.0.1:${port} `),
      [`${egressPaths.trust}/ca.crt`]: plane.root,
    };
    for (const [service, { roots }] of Object.entries(services)) {
      files[`${egressPaths.config}/${rootsFile(service)}`] = roots;
      const dnsNames = [`${service}.egress.mtls.svc`];
      Object.assign(files, pairIn(egressPaths.leaf(service), await plane.leaf({ dnsNames, usages: ["server auth"] })));
    }
    Object.assign(files, pairIn(egressPaths.client("known"), await ours.leaf({ subject: "CN=customer-1" })));
    folder = await makeFolder("egress");
    root = join(folder, "root");
    await layOut(root, files);
    nginx = startNginx(root, egressCommand);
    stops.push(nginx.stop);
    for (let tries = 0; ; tries++) {
      const answered = await ask("partner").catch((error: Error) => error);
      if (!(answered instanceof Error)) break;
      if (tries === 100) throw new Error(`${answered.message}: ${nginx.said()}${await errors()}`);
      await sleep(100);
    }
  });

  after(async () => {
    for (const stop of stops.reverse()) await stop();
    if (folder) await removeFolder(folder);
  });

  it("forwards to the service by its own name, and tells it nothing of the platform", async () => {
    const { status, seen } = await ask("partner", { path: "/a%2Fb//c?d=%20e", body: "paid" });
    const { headers, ...others } = seen!;
    equal(status, 200);
    same(others, {
      ...{ at: "127.0.0.1", url: "/a%2Fb//c?d=%20e", body: "paid" },
      ...{ sni: "api.partner.example", client: "nobody" },
    });
    same(headers, {
      host: `api.partner.example:${outside}`,
      ...{ authorization: "Bearer of-the-client", "content-length": "4", connection: "close" },
    });
  });

  it("shows a service that asks the certificate for it, and others none", async () => {
    equal((await ask("known")).seen?.client, "customer-1");
    equal((await ask("partner")).seen?.client, "nobody");
  });

  it("shows a renewed certificate at the next request", async () => {
    for (const [path, text] of Object.entries(
      pairIn(egressPaths.client("known"), await ours.leaf({ subject: "CN=customer-2" })),
    ))
      await put(root, path, text);
    equal((await ask("known")).seen?.client, "customer-2");
  });

  it("answers 502 for a service with another authority, with another name, or with no address", async () => {
    for (const [service, why] of Object.entries({
      distrusted: /upstream SSL certificate verify error: \(20:unable to get local issuer certificate\)/,
      misnamed: /upstream SSL certificate does not match "api\.other\.example"/,
      lost: /gone\.partner\.example could not be resolved/,
    })) {
      equal((await ask(service)).status, 502, service);
      match(await errors(), why);
    }
  });

  it("follows the service to a new address", async () => {
    equal((await ask("partner")).seen?.at, "127.0.0.1");
    names.set("api.partner.example", "127.0.0.2");
    await sleep(2_500);
    equal((await ask("partner")).seen?.at, "127.0.0.2");
  });

  it("answers the gateway alone, and only for services that it knows", async () => {
    equal((await ask("partner", { pair: stranger })).status, 403);
    equal((await ask("partner", { pair: none })).status, 400);
    equal((await ask("partner", { pair: await ours.leaf({ subject: subject("apisix") }) })).status, 400);
    equal((await ask("elsewhere", { verified: false })).status, 421);
  });

  const errors = () => readFile(join(root, "dev/stderr"), "utf8");

  /** As the gateway asks, or someone else. */
  function ask(
    service: string,
    { path = "/", body = "", pair = caller, verified = true } = {},
  ): Promise<{ readonly status: number; readonly seen?: Seen }> {
    const servername = `${service}.egress.mtls.svc`;
    const headers = {
      ...{ host: servername, authorization: "Bearer of-the-client", "content-length": body.length },
      ...{ "x-forwarded-client-cert": 'Subject="CN=curl"', "x-real-ip": "10.244.0.9" },
      ...{ "x-forwarded-for": "10.244.0.9", "x-forwarded-host": "orders.example", "x-forwarded-proto": "https" },
    };
    const over = { host: "127.0.0.1", port, servername, ca: plane.root, rejectUnauthorized: verified, agent: false };
    return new Promise((resolve, reject) => {
      request({ ...over, ...pair, path, method: "POST", headers }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part));
        response.on("end", () => {
          const status = response.statusCode!;
          resolve({ status, ...(status === 200 ? { seen: JSON.parse(text) as Seen } : {}) });
        });
      })
        .on("error", reject)
        .end(body);
    });
  }
});

function pairIn(folder: string, { cert, key }: KeyPair): Record<string, string> {
  return { [`${folder}/tls.crt`]: cert, [`${folder}/tls.key`]: key };
}
