/**
 * The images that the lab's pods run, under the names by which the program asks for them: nothing can be pulled. Each is
 * packed from Debian packages and Go binaries, laid out like the image it stands in for, and has nothing that one lacks.
 */
import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { chmod, chown, cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { execa } from "execa";
import { versions } from "./binaries.ts";
import { cached, keyOf, type Part } from "./cache.ts";
import { hostLibrariesOf, librariesOf } from "./debian.ts";
import { pauseImage } from "./inside/addresses.ts";

export const apisixImage = "docker.io/apache/apisix:3.18.0-debian";
export const etcdImage = `gcr.io/etcd-development/etcd:${versions.etcd}`;
export const nginxImage = "docker.io/library/nginx:1.22";
export const nodeImage = "docker.io/library/node:24.21.0-slim";

/** The second name of every image: what it is called in a registry of one's own. */
export const mirrored = (image: string) => image.replace(/^[^/]+/, "mirror.example.internal");

/** What images are made of: the paths of finished parts. */
export type Sources = Record<"debian" | "pause" | "certmanager" | "approver" | "etcd" | "apisix", string>;

interface Image {
  name: string;
  entrypoint?: string[];
  command?: string[];
  user?: string;
  folder?: string;
  stopSignal?: string;
}

/** One archive of images that share a single layer. */
export interface Archive {
  images: Image[];
  fill: (root: Root) => Promise<void>;
  /** What identifies it besides its sources. */
  version?: string;
}

const jetstack = (component: string): Image => ({
  name: `quay.io/jetstack/cert-manager-${component}:${versions.certManager}`,
  entrypoint: ["/certmanager", component],
  user: "1000",
});

export function archives(sources: Sources): Record<string, Archive> {
  const libraries = join(sources.debian, "libraries");
  return {
    pause: {
      images: [{ name: pauseImage, entrypoint: ["/pause"], user: "65535" }],
      fill: (root) => root.program(sources.pause, "/pause"),
    },
    "cert-manager": {
      images: ["controller", "webhook", "cainjector", "startupapicheck"].map(jetstack),
      fill: (root) => root.program(sources.certmanager, "/certmanager"),
    },
    "approver-policy": {
      images: [
        {
          name: `quay.io/jetstack/cert-manager-approver-policy:${versions.approverPolicy}`,
          entrypoint: ["/approver-policy"],
          user: "1000",
        },
      ],
      fill: (root) => root.program(sources.approver, "/approver-policy"),
    },
    etcd: {
      images: [{ name: etcdImage, command: ["/usr/local/bin/etcd"] }],
      fill: (root) => root.program(sources.etcd, "/usr/local/bin/etcd"),
    },
    nginx: {
      images: [
        {
          name: nginxImage,
          entrypoint: ["/docker-entrypoint.sh"],
          command: ["nginx", "-g", "daemon off;"],
          stopSignal: "SIGQUIT",
        },
      ],
      fill: async (root) => {
        await root.shell(libraries);
        await root.account("nginx", 101);
        await root.dynamic(libraries, "usr/sbin/nginx");
        await root.file("/etc/nginx/mime.types", await readFile(join(libraries, "etc/nginx/mime.types"), "utf8"));
        await root.file("/etc/nginx/nginx.conf", nginxConfig);
        await root.file("/etc/nginx/conf.d/default.conf", "server { listen 80; root /usr/share/nginx/html; }\n");
        await root.file("/usr/share/nginx/html/index.html", "<h1>Welcome to nginx!</h1>\n");
        await root.file("/docker-entrypoint.sh", '#!/bin/sh\nexec "$@"\n', 0o755);
        await root.folders(101, "/var/log/nginx", "/var/cache/nginx", "/var/lib/nginx");
        await root.link("/dev/stdout", "/var/log/nginx/access.log");
        await root.link("/dev/stderr", "/var/log/nginx/error.log");
      },
    },
    apisix: {
      images: [
        {
          name: apisixImage,
          entrypoint: ["/docker-entrypoint.sh"],
          command: ["docker-start"],
          user: "apisix",
          folder: "/usr/local/apisix",
          stopSignal: "SIGQUIT",
        },
      ],
      fill: async (root) => {
        await root.shell(libraries);
        await root.account("apisix", 636);
        await root.program(sources.apisix, "/usr/bin/apisix");
        await root.file("/docker-entrypoint.sh", '#!/bin/sh\nexec /usr/bin/apisix "$@"\n', 0o755);
        const writable = [
          "conf",
          "logs",
          ...["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp`),
        ];
        await root.folders(636, "/usr/local/apisix", ...writable.map((name) => `/usr/local/apisix/${name}`));
        await root.file(
          "/usr/local/apisix/conf/mime.types",
          await readFile(join(libraries, "etc/nginx/mime.types"), "utf8"),
        );
        await root.file("/usr/local/apisix/conf/config.yaml", "{}\n");
        await root.link("/dev/stdout", "/usr/local/apisix/logs/access.log");
        await root.link("/dev/stderr", "/usr/local/apisix/logs/error.log");
      },
    },
    node: {
      images: [
        {
          name: nodeImage,
          entrypoint: ["docker-entrypoint.sh"],
          command: ["node"],
        },
      ],
      version: `${process.version} ${statSync(process.execPath).size} ${statSync(process.execPath).mtimeMs}`,
      fill: async (root) => {
        await root.shell(libraries);
        await root.account("node", 1000);
        // The Node.js that runs the lab, with the libraries that it loads on this machine.
        await root.program(process.execPath, "/usr/local/bin/node");
        for (const library of await hostLibrariesOf(process.execPath)) await root.program(library, library);
        await root.file("/usr/local/bin/docker-entrypoint.sh", '#!/bin/sh\nexec "$@"\n', 0o755);
      },
    },
  };
}

const nginxConfig = `user nginx;
worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid /var/run/nginx.pid;
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  access_log /var/log/nginx/access.log;
  include /etc/nginx/conf.d/*.conf;
}
`;

/** What a shell script in a Debian image finds in /bin. */
const applets =
  `sh ash cat chmod chown cp cut date echo env expr false find grep head hostname id ln ls mkdir mktemp mv nproc printf
  pwd readlink realpath rm rmdir sed sha256sum sleep sort stat tail tar tee test touch tr true uname uniq wc xargs`.split(
    /\s+/,
  );

/** The packed archive, from the cache if its sources (named by content) and this file are unchanged. */
export async function pack(
  name: string,
  { images, fill, version = "" }: Archive,
  sources: Record<string, string>,
): Promise<Part> {
  const key = keyOf(
    await readFile(import.meta.filename, "utf8"),
    ...Object.values(sources).map((path) => basename(path)),
    name,
    version,
  );
  return cached("images", name, key, async (output) => {
    const work = `${output}-work`;
    await rm(work, { recursive: true, force: true });
    try {
      const root = new Root(join(work, "root"));
      await root.base();
      await fill(root);
      await mkdir(join(work, "image"));
      const layer = join(work, "image/layer.tar");
      await tar(root.path, layer);
      const digest = await sha256(layer);
      const manifest = [];
      for (const image of images) {
        const config = JSON.stringify(imageConfig(image, digest));
        const file = `${createHash("sha256").update(config).digest("hex")}.json`;
        await writeFile(join(work, "image", file), config);
        manifest.push({ Config: file, RepoTags: [image.name, mirrored(image.name)], Layers: ["layer.tar"] });
      }
      await writeFile(join(work, "image/manifest.json"), JSON.stringify(manifest));
      await tar(join(work, "image"), output);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });
}

function imageConfig(image: Image, layer: string) {
  return {
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    os: "linux",
    created: "1970-01-01T00:00:00Z",
    config: {
      Entrypoint: image.entrypoint,
      Cmd: image.command,
      User: image.user,
      WorkingDir: image.folder ?? "/",
      StopSignal: image.stopSignal,
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    },
    rootfs: { type: "layers", diff_ids: [`sha256:${layer}`] },
    history: [{ created: "1970-01-01T00:00:00Z" }],
  };
}

/** An image's file system while it is being filled. */
class Root {
  readonly path: string;
  constructor(path: string) {
    this.path = path;
  }

  async base(): Promise<void> {
    for (const name of ["bin", "sbin", "lib", "lib64"]) {
      await mkdir(join(this.path, "usr", name), { recursive: true });
      await symlink(`usr/${name}`, join(this.path, name));
    }
    await this.folders(0, "/etc", "/run", "/var", "/tmp");
    await chmod(join(this.path, "tmp"), 0o1777);
    await this.link("/run", "/var/run");
    await this.file("/etc/nsswitch.conf", "hosts: files dns\n");
    await this.account("root", 0);
    await this.account("nonroot", 65532);
  }

  async account(name: string, id: number): Promise<void> {
    await writeFile(join(this.path, "etc/passwd"), `${name}:x:${id}:${id}::/:/bin/sh\n`, { flag: "a" });
    await writeFile(join(this.path, "etc/group"), `${name}:x:${id}:\n`, { flag: "a" });
  }

  async program(from: string, to: string): Promise<void> {
    await mkdir(dirname(join(this.path, to)), { recursive: true });
    await cp(from, join(this.path, to), { dereference: true });
    await chmod(join(this.path, to), 0o755);
  }

  /** A program from a Debian tree, with the libraries it loads. */
  async dynamic(tree: string, program: string): Promise<void> {
    const { loader, libraries } = await librariesOf(tree, program);
    for (const path of [program, loader, ...libraries]) await this.program(join(tree, path), `/${path}`);
    for (const folder of ["lib", "lib64"]) await this.link(`/${loader}`, `/usr/${folder}/${basename(loader)}`);
  }

  async file(path: string, text: string, mode = 0o644): Promise<void> {
    await mkdir(dirname(join(this.path, path)), { recursive: true });
    await writeFile(join(this.path, path), text);
    await chmod(join(this.path, path), mode);
  }

  async folders(owner: number, ...paths: string[]): Promise<void> {
    for (const path of paths) {
      await mkdir(join(this.path, path), { recursive: true });
      await chown(join(this.path, path), owner, owner);
    }
  }

  async link(target: string, path: string): Promise<void> {
    await symlink(target, join(this.path, path));
  }

  async shell(tree: string): Promise<void> {
    await this.program(join(tree, "usr/bin/busybox"), "/usr/bin/busybox");
    for (const name of applets) await this.link("busybox", `/usr/bin/${name}`);
  }
}

/** Fixed order and dates, so that the same files make the same archive. */
async function tar(folder: string, output: string): Promise<void> {
  const same = ["--sort=name", "--mtime=@0", "--numeric-owner", "--format=gnu"];
  await execa("tar", [...same, "-cf", output, "-C", folder, ...(await readdir(folder)).sort()]);
}

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
