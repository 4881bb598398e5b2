/** Programs from Debian packages, unpacked into the cache: nothing is installed on this machine and no daemon is started. */
import { existsSync } from "node:fs";
import { copyFile, cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { execa } from "execa";
import { cached, keyOf, type Part } from "./cache.ts";

/** What the node runs, overlaid on the host's /usr in the lab's mount namespace so that every program has its usual path. */
const tools = ["containerd", "runc", "containernetworking-plugins", "iptables", "iproute2", "socat"];
/** What goes into images. */
const forImages = ["nginx", "busybox-static"];

type Progress = (line: string) => void;

/**
 * Two /usr trees: `tools` takes precedence over the host's /usr; `libraries` (everything that the packages need, even
 * libc) only fills its gaps.
 */
export function debian(progress: Progress): Promise<Part> {
  return madeOf([...tools, ...forImages], "debian", "usr", progress, async (files, path) => {
    for (const [name, file] of files) {
      progress(`unpacking ${basename(file)}`);
      await unpack(file, join(path, tools.includes(name) ? "tools" : "libraries"));
    }
    for (const tree of ["tools", "libraries"]) await mergeUsr(join(path, tree));
    // What the package's scripts would have chosen: a kernel may lack the legacy tables, but not nft.
    for (const suffix of ["", "-save", "-restore"])
      for (const family of ["iptables", "ip6tables"])
        await symlink("xtables-nft-multi", join(path, "tools/usr/sbin", family + suffix));
  });
}

/** nginx's modules for Lua and for headers, to be loaded into the nginx of `debian`: the tests' nearest to APISIX's own nginx. */
export function nginxModules(progress: Progress): Promise<Part> {
  const modules = ["libnginx-mod-http-lua", "libnginx-mod-http-headers-more-filter"];
  // The modules, and what nginx does without.
  const needed = /^(libnginx-mod|lua-resty|libluajit|libpcre3$)/;
  return madeOf(modules, "debian", "nginx-modules", progress, async (files, path) => {
    for (const [name, file] of files) if (needed.test(name)) await unpack(file, path);
    await mergeUsr(path);
  });
}

/** Prometheus' promtool, which evaluates alerts, for the monitoring tests. */
export function promtool(progress: Progress): Promise<Part> {
  return madeOf(["prometheus"], "bin", "promtool", progress, async (files, path, tree) => {
    await unpack(files.get("prometheus") ?? "", tree);
    await copyFile(join(tree, "usr/bin/promtool"), path);
  });
}

/** Knot DNS, which takes dynamic updates, as a tree with everything that it loads. */
export function knot(progress: Progress): Promise<Part> {
  return madeOf(["knot"], "debian", "knot", progress, async (files, path) => {
    for (const file of files.values()) await unpack(file, path);
    await mergeUsr(path);
  });
}

/** libfaketime's library, to be preloaded into this machine's programs for tests with a shifted date. */
export function faketime(progress: Progress): Promise<Part> {
  return madeOf(["libfaketime"], "debian", "faketime", progress, async (files, path, tree) => {
    await unpack(files.get("libfaketime") ?? "", tree);
    const library = (await readdir(tree, { recursive: true })).find((file) => file.endsWith("/libfaketime.so.1"));
    await copyFile(join(tree, library ?? ""), path);
  });
}

/** What `make` makes at a path of packages' files, from the cache if it has it for this release; `tree` is scratch. */
async function madeOf(
  packages: readonly string[],
  folder: string,
  name: string,
  progress: Progress,
  make: (files: ReadonlyMap<string, string>, path: string, tree: string) => Promise<void>,
): Promise<Part> {
  const key = keyOf(await readFile("/etc/os-release", "utf8"), process.arch, ...packages);
  return cached(folder, name, key, async (path) => {
    const apt = `${path}-apt`;
    await make(await download(apt, packages, progress), path, join(apt, "tree"));
    await rm(apt, { recursive: true });
  });
}

/**
 * Downloads packages and their dependencies into the folder `apt`, and returns their files. `apt-get` is made to believe that
 * nothing is installed, so the result does not depend on the host.
 */
async function download(apt: string, packages: readonly string[], progress: Progress): Promise<Map<string, string>> {
  for (const folder of ["state/lists/partial", "cache/archives/partial"])
    await mkdir(join(apt, folder), { recursive: true });
  await writeFile(join(apt, "status"), "");
  const options = {
    "Dir::State": join(apt, "state"),
    "Dir::State::status": join(apt, "status"),
    "Dir::Cache": join(apt, "cache"),
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
  };
  const run = async (...args: string[]) => {
    const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    const apt = execa("apt-get", [...flags, ...args], { env: { DEBIAN_FRONTEND: "noninteractive" } });
    for await (const line of apt.iterable()) if (line.startsWith("Get:")) progress(line);
  };
  await run("update");
  await run("install", "--download-only", "--no-install-recommends", "-y", ...packages);
  const archives = join(apt, "cache/archives");
  const files = (await readdir(archives)).filter((file) => file.endsWith(".deb"));
  return new Map(files.map((file) => [file.split("_")[0] ?? "", join(archives, file)]));
}

async function unpack(file: string, tree: string): Promise<void> {
  await mkdir(tree, { recursive: true });
  await execa("dpkg-deb", ["-x", file, tree]);
}

/** Moves /bin, /sbin and /lib* below /usr, where the host's own point. */
async function mergeUsr(tree: string): Promise<void> {
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    const from = join(tree, name);
    if (!existsSync(from)) continue;
    await cp(from, join(tree, "usr", name), { recursive: true, verbatimSymlinks: true });
    await rm(from, { recursive: true });
  }
}

/** A program's loader and shared libraries in the `libraries` tree, as paths below that tree. */
export async function librariesOf(tree: string, program: string): Promise<{ loader: string; libraries: string[] }> {
  const triplet = (await readdir(join(tree, "usr/lib"))).find((name) => name.endsWith("-linux-gnu")) ?? "";
  const folder = join("usr/lib", triplet);
  const loader = join(folder, (await readdir(join(tree, folder))).find((name) => name.startsWith("ld-linux")) ?? "");
  const { stdout } = await execa(join(tree, loader), [
    "--library-path",
    join(tree, folder),
    "--list",
    join(tree, program),
  ]);
  const found = [...stdout.matchAll(/=> (\S+)/g)].map(([, path]) => join(folder, basename(path ?? "")));
  return { loader, libraries: [...new Set(found)].filter((path) => path !== loader) };
}

/** The shared libraries, including the loader, that a program on this machine loads. */
export async function hostLibrariesOf(program: string): Promise<string[]> {
  const { stdout } = await execa("ldd", [program]);
  return [...stdout.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map(([, path]) => path ?? "");
}
