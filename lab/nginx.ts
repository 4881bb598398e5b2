/** The lab's nginx on this machine, in a folder of its own that looks like its image, as that image's user. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chown, cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { debian, librariesOf } from "./debian.ts";

/** nginx's user in its official image. */
const uid = 101;

/** The folder's content: nginx, the libraries that it loads, a shell, and these files by their paths. */
export async function layOut(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  const libraries = join((await debian(() => {})).path, "libraries");
  const { loader, libraries: loaded } = await librariesOf(libraries, "usr/sbin/nginx");
  for (const path of ["usr/sbin/nginx", "usr/bin/busybox", loader, ...loaded])
    await cp(join(libraries, path), join(root, path), { dereference: true });
  for (const path of ["lib", "lib64"]) {
    await mkdir(join(root, path), { recursive: true });
    await symlink(`/${loader}`, join(root, path, basename(loader)));
  }
  for (const program of ["sh", "sed"]) await symlink("busybox", join(root, "usr/bin", program));
  for (const path of ["/dev/stdout", "/dev/stderr", "/tmp/here"]) await put(root, path, "");
  await chown(join(root, "tmp"), uid, uid);
  for (const [path, text] of Object.entries(files)) await put(root, path, text);
}

/** Writes one file in it. */
export async function put(root: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
  await chown(join(root, path), uid, uid);
}

/** A running nginx. */
export interface Nginx {
  readonly pid: number;
  /** What it has written to standard error. */
  readonly said: () => string;
  readonly stop: () => Promise<void>;
}

/** Starts the command of the nginx container in it. */
export function startNginx(root: string, command: readonly string[]): Nginx {
  const nginx = spawn("chroot", [`--userspec=${uid}:${uid}`, root, ...command], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: "/usr/sbin:/usr/bin" },
  });
  const ended = once(nginx, "exit");
  let said = "";
  nginx.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  return {
    pid: nginx.pid ?? 0,
    said: () => said,
    stop: async () => {
      nginx.kill("SIGTERM");
      await ended;
    },
  };
}
