// Requests without TLS, as an attacker writes them: the gateway's conditions in a real nginx, in a server with both kinds of listeners.

import { deepStrictEqual as same, strictEqual as equal } from "node:assert/strict";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectSecurely } from "node:tls";

import { tempPaths } from "../../components/nginxServer.ts";
import { noPlainHttp, type PlainHttp, plainMap, plainSnippet } from "../../components/plainHttp.ts";
import { checkPlain } from "../../components/site.ts";
import { layOut, type Nginx, startNginx } from "../../lab/nginx.ts";
import { freePort } from "../../lab/ports.ts";
import { makeFolder, removeFolder } from "../../lab/temporary.ts";
import { Authority } from "../support/authorities.ts";

const long = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.example`;
const open: PlainHttp = { serve: ["foo.example", long], redirect: ["api.example"] };
const routed = /^200/;

describe("plain HTTP in a real nginx", function () {
  this.timeout(60_000);

  let folder: string | undefined;
  let nginx: Nginx | undefined;
  let ports: { readonly plain: number; readonly secure: number };

  before(async function () {
    if (process.platform !== "linux" || process.getuid?.() !== 0) this.skip(); // a chroot
    folder = await makeFolder("plain");
  });
  afterEach(async () => {
    await nginx?.stop();
    nginx = undefined;
  });
  after(async () => {
    if (folder) await removeFolder(folder);
  });

  it("answers for the hosts that are named, and sends others to https", async () => {
    await start("named", open);
    equal(await ask("GET /a?b=c HTTP/1.1", "foo.example"), "200 routed foo.example /a?b=c");
    equal(await ask("GET / HTTP/1.1", long), `200 routed ${long} /`);
    equal(await ask("POST /a%20b?c HTTP/1.1", "API.example:80"), "308 https://api.example/a%20b?c");
    equal(await ask("GET http://api.example HTTP/1.1", "api.example"), "308 https://api.example/");
  });

  it("lets no spelling of another host through to the routes", async () => {
    await start("attacked", open);
    const hosts = ["upstream", "UPSTREAM", "upstream.", "upstream:443", "upstream:9443", "", "_", "127.0.0.1", "[::1]"];
    hosts.push("https:", "https:upstream", "foo.example.upstream", "xfoo.example", "fooxexample", "foo.example..", "*");
    for (const host of hosts) {
      const answer = await ask("GET / HTTP/1.1", host);
      equal(/^40[03]/.test(answer), true, `${JSON.stringify(host)}: ${answer}`);
    }
    // The request line decides, and so it does for APISIX, which reads the same variable.
    for (const line of [
      "GET http://upstream/ HTTP/1.1",
      "GET https://upstream/ HTTP/1.1",
      "GET HTTP://UPSTREAM./ HTTP/1.1",
    ])
      equal((await ask(line, "foo.example")).slice(0, 3), "403", line);
    equal(await ask("GET http://foo.example/ HTTP/1.1", "upstream"), "200 routed foo.example /");
    for (const spelling of ["FOO.example", "foo.example.", "foo.example:9080"])
      equal(await ask("GET / HTTP/1.1", spelling), "200 routed foo.example /");
    equal((await ask("GET / HTTP/1.0", undefined)).slice(0, 3), "403");
    equal((await ask("GET / HTTP/1.1", "foo.example", "Host: upstream")).slice(0, 3), "400");
    equal((await ask("GET / HTTP/1.1", "upstream", "X-Forwarded-Proto: https")).slice(0, 3), "403");
    equal((await ask("GET /apisix/nginx_status HTTP/1.1", "upstream")).slice(0, 3), "403");
  });

  it("refuses every host unless one is named, and leaves TLS alone", async () => {
    await start("closed", noPlainHttp);
    for (const host of ["upstream", "foo.example", "api.example"])
      equal((await ask("GET / HTTP/1.1", host)).slice(0, 3), "403");
    equal(await ask("GET /a HTTP/1.1", "upstream", "X: y", true), "200 routed upstream /a");
  });

  /** A server as in APISIX's template: one block for both listeners, with the snippet before the locations. */
  async function start(name: string, plain: PlainHttp): Promise<void> {
    ports = { plain: await freePort(), secure: await freePort() };
    const leaf = await (await Authority.create("edge")).leaf({ dnsNames: ["upstream"], usages: ["server auth"] });
    const root = join(folder!, name);
    await layOut(root, {
      "/tls.crt": leaf.cert,
      "/tls.key": leaf.key,
      "/nginx.conf": `pid /tmp/nginx.pid;
error_log /dev/stderr;
events {}
http {
  access_log off;
  ${tempPaths("/tmp").join("\n  ")}
  ${plainMap(plain)}
  server {
    listen 127.0.0.1:${ports.plain} default_server;
    listen 127.0.0.1:${ports.secure} ssl default_server;
    server_name _;
    ssl_certificate /tls.crt;
    ssl_certificate_key /tls.key;
    ${plainSnippet}
    location = /apisix/nginx_status { return 200 "routed status"; }
    location / { return 200 "routed $host $request_uri"; }
  }
}
`,
    });
    nginx = startNginx(root, ["nginx", "-c", "/nginx.conf", "-g", "daemon off;"]);
    for (let tries = 0; tries < 100; tries++) {
      if (await ask("GET / HTTP/1.1", "upstream").catch(() => undefined)) return;
      await sleep(100);
    }
    throw new Error(nginx.said());
  }

  /** Status, and body or Location, of a request as it is written on the wire. */
  function ask(line: string, host: string | undefined, more = "X: y", secure = false): Promise<string> {
    const request = [line, ...(host === undefined ? [] : [`Host: ${host}`]), more, "Connection: close", "", ""];
    return new Promise((resolve, reject) => {
      const socket = secure
        ? connectSecurely({ port: ports.secure, host: "127.0.0.1", servername: "upstream", rejectUnauthorized: false })
        : connect(ports.plain, "127.0.0.1");
      let text = "";
      socket.setEncoding("latin1").on("data", (part: string) => (text += part));
      socket.on("error", reject);
      socket.on("close", () => {
        const [head = "", body = ""] = text.split("\r\n\r\n");
        const status = head.slice(9, 12);
        const rest = routed.test(status) ? body : (/^location: (.*)$/im.exec(head)?.[1] ?? "").trim();
        resolve(`${status} ${rest}`);
      });
      socket.write(request.join("\r\n"));
    });
  }
});

describe("a site whose host is served without TLS", () => {
  it("is for clients without certificates alone", () => {
    const gateway = { plainHosts: ["foo.example"] };
    for (const [host, clients] of [
      ["foo.example", "anyone"],
      ["bar.example", undefined],
    ] as const)
      same(checkPlain("foo", { host, gateway, ...(clients ? { clients } : {}) }), undefined);
  });
});
