// Debian's nginx with the modules that APISIX's has too, run on loopback with a configuration of the product's.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { tempPaths } from "../../components/nginxServer.ts";
import { debian, nginxModules } from "../../lab/debian.ts";

export interface RunningNginx {
  /** Ends it, and returns what it has logged. */
  stop(): Promise<string>;
}

/** Whether this machine has Debian's packages; where it has not, the tests that need them skip. */
export const hasPackages = process.platform === "linux";

/**
 * Starts nginx with what belongs into its http block; `folder` is for its files. It has started once it answers `ready`.
 * @throws what nginx says if it does not start.
 */
export async function startNginx(folder: string, http: string, ready: () => Promise<unknown>): Promise<RunningNginx> {
  const [libraries, modules] = [join((await debian(() => {})).path, "libraries"), (await nginxModules(() => {})).path];
  const [triplet = ""] = readdirSync(join(libraries, "usr/lib")).filter((name) => name.endsWith("-linux-gnu"));
  const shared = (tree: string) => join(tree, "usr/lib", triplet);
  const [loader = ""] = readdirSync(shared(libraries)).filter((name) => name.startsWith("ld-linux"));
  const module = (name: string) => `load_module ${modules}/usr/lib/nginx/modules/${name}.so;`;
  mkdirSync(folder, { recursive: true });
  const configuration = [
    ...["ndk_http_module", "ngx_http_lua_module", "ngx_http_headers_more_filter_module"].map(module),
    `pid ${folder}/nginx.pid;\nerror_log stderr notice;\ndaemon off;\nmaster_process off;\nevents {}`,
    `http {\naccess_log off;\nunderscores_in_headers on;\n${tempPaths(folder).join("\n")}`,
    `lua_package_path "${modules}/usr/share/lua/5.1/?.lua;;";\n${http}\n}`,
  ].join("\n");
  writeFileSync(join(folder, "nginx.conf"), configuration);
  const path = [shared(libraries), shared(modules)].join(":");
  const run = ["--library-path", path, join(libraries, "usr/sbin/nginx"), "-e", "stderr", "-p", folder];
  const nginx = spawn(join(shared(libraries), loader), [...run, "-c", join(folder, "nginx.conf")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  nginx.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const ended = once(nginx, "exit");
  const stop = async () => {
    nginx.kill("SIGTERM");
    await ended;
    return said;
  };
  for (let tries = 1; ; tries++) {
    const up = await ready().then(
      () => true,
      () => false,
    );
    if (up) return { stop };
    if (nginx.exitCode !== null || tries === 100) throw new Error(`nginx does not answer:\n${await stop()}`);
    await sleep(50);
  }
}
