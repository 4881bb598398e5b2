// What the product writes for nginx, in Debian's nginx with its Lua module: identities forwarded and compared for real.

import { deepStrictEqual as same, doesNotMatch, match, rejects } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { adminCallersSnippet } from "../../components/adminCallers.ts";
import { clientCertificate } from "../../components/apisixConfig.ts";
import { forwardedMap, forwardedSnippet } from "../../components/forwardedIdentity.ts";
import { nginxConfig, nginxPaths } from "../../components/nginxConfig.ts";
import { freePort } from "../../lab/ports.ts";
import { makeFolder } from "../../lab/temporary.ts";
import { Authority } from "../support/authorities.ts";
import { hasPackages, type RunningNginx, startNginx } from "../support/nginx.ts";

interface Pair {
  readonly cert: string;
  readonly key: string;
}

describe("nginx", function () {
  this.timeout(120_000); // the first run fetches the packages
  const identity = (serviceAccount: string, namespace = "mtls") => ({
    trustDomain: "dev.example",
    namespace,
    serviceAccount,
  });
  const long = "a".repeat(63);
  const leaves: Record<string, Pair> = {};
  let folder: string;
  let running: RunningNginx | undefined;
  let ports: readonly number[];

  before(async function () {
    if (!hasPackages) this.skip();
    folder = await makeFolder("nginx");
    const authority = await Authority.create("nginx");
    const put = (name: string, text: string) => writeFileSync(join(folder, name), text);
    const server = await authority.leaf({ dnsNames: ["nginx.test"], usages: ["server auth"] });
    put("tls.crt", server.cert);
    put("tls.key", server.key);
    put("ca.crt", authority.root);
    put("client-cert.lua", clientCertificate.text);
    for (const name of ["deployer", "apisix", "cart", long])
      leaves[name] = await authority.leaf({ subject: `O=dev.example,OU=mtls,CN=${name}` });
    leaves["devexample"] = await authority.leaf({ subject: "O=devXexample,OU=mtls,CN=deployer" });
    leaves["rsa"] = await authority.leaf({ subject: "O=dev.example,OU=mtls,CN=rsa", family: "RSA" });
    leaves["forged"] = await (await Authority.create("nginx")).leaf({ subject: "O=dev.example,OU=mtls,CN=deployer" });
    ports = await Promise.all([freePort(), freePort(), freePort()]);
  });
  afterEach(async () => {
    await running?.stop();
    running = undefined;
  });
  after(() => folder && rmSync(folder, { recursive: true }));

  const tls = (port: number, verify: string) =>
    `listen 127.0.0.1:${port} ssl;\nssl_certificate ${folder}/tls.crt;\nssl_certificate_key ${folder}/tls.key;\n` +
    `ssl_client_certificate ${folder}/ca.crt;\nssl_verify_client ${verify};\n`;

  function ask(
    port: number,
    leaf?: string,
    headers: readonly string[] = [],
  ): Promise<{ status: number; body: string }> {
    return new Promise((done, failed) => {
      const sent = ["Host", "nginx.test", ...headers];
      const options = { host: "127.0.0.1", port, path: "/", headers: sent, agent: false, rejectUnauthorized: false };
      const request = https.get({ ...options, ...(leaf && leaves[leaf]) } as https.RequestOptions, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (part: string) => (body += part));
        response.on("end", () => done({ status: response.statusCode ?? 0, body }));
      });
      request.on("error", failed);
    });
  }
  const statuses = (port: number, ...names: readonly (string | undefined)[]) =>
    Promise.all(names.map(async (name) => (await ask(port, name)).status));

  it("tells an upstream the verified client's certificate, as RFC 9440 has it, and nothing that a client says", async () => {
    const upstream = http.createServer(({ rawHeaders }, response) => {
      const told = rawHeaders.flatMap((name, index) =>
        index % 2 === 0 ? [[name, rawHeaders[index + 1]!] as const] : [],
      );
      response.end(JSON.stringify(told.filter(([name]) => /client.cert/i.test(name))));
    });
    await new Promise<void>((listening) => upstream.listen(0, "127.0.0.1", listening));
    const [port = 0] = ports;
    const { port: behind } = upstream.address() as AddressInfo;
    running = await startNginx(
      join(folder, "forwarding"),
      `${forwardedMap}\nserver {\n${tls(port, "optional_no_ca")}location / {\n${forwardedSnippet(`${folder}/client-cert.lua`)}\n` +
        `proxy_pass http://127.0.0.1:${behind};\n}\n}`,
      () => ask(port),
    );
    const spellings = [
      "Client-Cert",
      "client_cert",
      "CLIENT-CERT",
      "Client-Cert-Chain",
      "Client_Cert-Chain",
      "X_Forwarded-Client_Cert",
    ];
    const claims = [...spellings, ...spellings, "X-Forwarded-Client-Cert"].flatMap((name) => [name, ":Zm9yZ2Vk:"]);
    const told = async (leaf?: string) =>
      new Map(JSON.parse((await ask(port, leaf, claims)).body) as readonly (readonly [string, string])[]);
    for (const leaf of ["cart", "rsa"]) {
      const certificate = new X509Certificate(leaves[leaf]!.cert);
      same(Object.fromEntries(await told(leaf)), {
        "Client-Cert": `:${certificate.raw.toString("base64")}:`,
        "X-Forwarded-Client-Cert": `Subject="CN=${leaf},OU=mtls,O=dev.example";Cert="${encodeURIComponent(certificate.toString())}"`,
      });
    }
    // Neither without a certificate, nor with one that did not pass.
    for (const leaf of [undefined, "forged"]) same(await told(leaf), new Map());
    upstream.close();
    doesNotMatch(await running.stop(), /\[(error|crit|alert|emerg)\]/);
    running = undefined;
  });

  it("answers as the Admin API's server only the subjects that it is told, whatever their length", async () => {
    const [, port = 0] = ports;
    running = await startNginx(
      join(folder, "admin"),
      // The template has maps of its own before.
      `map $http_host $first { default ""; }\nserver {\n${tls(port, "on")}` +
        `${adminCallersSnippet([identity("deployer"), identity(long)])}location / { return 204; }\n}`,
      () => ask(port, "deployer"),
    );
    same(
      await statuses(port, "deployer", long, "apisix", "devexample", "forged", undefined),
      [204, 204, 403, 403, 400, 400],
    );
  });

  it("could not compare them in a map there, which is why it does not", async () => {
    const [, port = 0] = ports;
    const http = (size: string) =>
      `map $http_host $first { default ""; }\n${size}map $ssl_client_s_dn $known { default 0; "CN=${long},OU=mtls,O=dev.example" 1; }\n` +
      `server {\n${tls(port, "on")}}`;
    await rejects(
      startNginx(join(folder, "map"), http(""), () => ask(port)),
      /could not build map_hash/,
    );
    await rejects(
      startNginx(join(folder, "size"), http("map_hash_bucket_size 256;\n"), () => ask(port)),
      /"map_hash_bucket_size" directive is duplicate/,
    );
  });

  it("answers as an upstream the gateway and the callers that it is told, and nobody else", async () => {
    const [, , port = 0] = ports;
    const config = nginxConfig([identity("apisix"), identity(long)], "nginx:1.22");
    writeFileSync(join(folder, "index.json"), "{}");
    const [, block = ""] = /\n( {2}map_hash_bucket_size[^]*)\n}\n$/.exec(config) ?? [];
    match(block, /\n {2}server \{\n/);
    const here = block
      .replace("listen 8443 ", `listen 127.0.0.1:${port} `)
      .replaceAll(`${nginxPaths.leaf}/`, `${folder}/`)
      .replaceAll(`${nginxPaths.trust}/`, `${folder}/`)
      .replace(`root ${nginxPaths.files}`, `root ${folder}`);
    running = await startNginx(join(folder, "upstream"), here, () => ask(port, "apisix"));
    same(await statuses(port, "apisix", long, "cart", "forged", undefined), [200, 200, 403, 400, 400]);
  });
});
