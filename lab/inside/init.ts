/**
 * The lab's pid 1: `unshare --mount --pid` starts it with the path of a NodeSpec. It lays out mounts, network and cgroup,
 * starts the components, and becomes the pause process. When that ends, the kernel ends every process, mount, veth and
 * iptables rule of the lab; only its cgroup folder must be swept (see `cluster.ts`).
 */
import { execFileSync, spawn } from "node:child_process";
import { lstatSync, mkdirSync, openSync, readdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { addresses, run, volumes } from "./addresses.ts";
import { components, type Component, type NodeSpec } from "./components.ts";

const cgroup2 = 0x63677270;
const spec = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as NodeSpec;
const labFolder = dirname(spec.config);

function sh(command: string): void {
  execFileSync("sh", ["-ec", command], { stdio: ["ignore", "inherit", "inherit"] });
}

function mounts(): void {
  // The lab folder first: it must stay reachable when it lies below /var.
  sh(`mount --make-rprivate /
    mount -t tmpfs -o mode=755 lab-run /run
    for own in containerd kubelet; do # cadvisor wants a file system that is mounted only once
      mkdir /run/$own; mount -t tmpfs -o mode=700 lab-$own /run/$own
    done
    mkdir -p /run/var/up /run/var/work /run/lock /run/netns /run/here ${volumes.map((name) => `${run.volumes}/${name}`).join(" ")}
    mount --bind ${labFolder} /run/here
    mount -t overlay -o lowerdir=${spec.debian}/tools/usr:/usr:${spec.debian}/libraries/usr lab-usr /usr
    mount -t overlay -o lowerdir=/var,upperdir=/run/var/up,workdir=/run/var/work lab-var /var
    mount --move /run/here ${labFolder}
    mkdir -p /var/log/containers`);
  // kubelet insists on three machine-wide sysctls: show it the values it wants; the machine keeps its own.
  const wanted = { "vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1" };
  for (const [name, value] of Object.entries(wanted)) {
    const file = `/run/sysctl.${name.replace("/", ".")}`;
    writeFileSync(file, value);
    sh(`mount --bind ${file} /proc/sys/${name}`);
  }
}

/** Makes the lab's own cgroup the root of every hierarchy that the lab sees, so that all pods' cgroups are inside it. */
function cgroups(): void {
  const root = "/sys/fs/cgroup";
  if (statfsSync(root).type === cgroup2) {
    mkdirSync(join(root, spec.cgroup), { recursive: true });
    sh(
      `mkdir /run/cgroup; mount --bind ${root}/${spec.cgroup} /run/cgroup; umount -l ${root}; mount --move /run/cgroup ${root}`,
    );
    return;
  }
  const hierarchies = readdirSync(root).filter((name) => lstatSync(join(root, name)).isDirectory());
  const links = readdirSync(root).filter((name) => lstatSync(join(root, name)).isSymbolicLink());
  for (const name of hierarchies) {
    const own = join(root, name, spec.cgroup);
    mkdirSync(own, { recursive: true });
    if (name === "cpuset")
      for (const file of ["cpuset.cpus", "cpuset.mems"])
        writeFileSync(join(own, file), readFileSync(join(root, name, file), "utf8"));
    sh(`mkdir -p /run/cgroup/${name}; mount --bind ${own} /run/cgroup/${name}`);
  }
  sh(`umount -R -l ${root}; mount -t tmpfs -o mode=755 lab-cgroup ${root}`);
  for (const name of hierarchies) sh(`mkdir ${root}/${name}; mount --move /run/cgroup/${name} ${root}/${name}`);
  for (const name of links)
    sh(`ln -s "$(ls -d ${root}/*,${name} ${root}/${name},* 2>/dev/null | head -1)" ${root}/${name}`);
}

/** This network has no route to the outside. */
function network(): void {
  sh(`ip netns add lab
    inside() { nsenter --net=${run.network} "$@"; }
    inside ip link set lo up
    inside ip link add node0 type bridge
    inside ip addr add ${addresses.node}/24 dev node0
    inside ip link set node0 up
    inside ip route add ${addresses.services} dev node0 # local processes need a route before kube-proxy's rules apply
    inside sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables'`);
}

function start({ name, command, onHost }: Component): void {
  const log = openSync(join(spec.logs, `${name}.log`), "a");
  const [program = "", ...args] = onHost === true ? command : ["nsenter", `--net=${run.network}`, ...command];
  const child = spawn(program, args, { stdio: ["ignore", log, log], env: { PATH: process.env.PATH, HOME: "/run" } });
  child.on("exit", (code, signal) => {
    console.log(`${name} exited with ${code ?? signal}; its log is ${join(spec.logs, `${name}.log`)}`);
    process.exit(1);
  });
}

function apiAnswers(): Promise<boolean> {
  const [ca, cert, key] = ["ca.crt", "admin.crt", "admin.key"].map((file) => readFileSync(join(spec.pki, file)));
  return new Promise((resolve) => {
    const call = request(
      { host: "127.0.0.1", port: spec.port, path: "/readyz", ca, cert, key, timeout: 2000 },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      },
    );
    call
      .on("error", () => resolve(false))
      .on("timeout", () => call.destroy())
      .end();
  });
}

mounts();
cgroups();
network();
const all = components(spec);
for (const component of all) if (component.needsApi !== true) start(component);
while (!(await apiAnswers())) await sleep(200);
for (const component of all) if (component.needsApi === true) start(component);
await sleep(1000); // what cannot start has failed by now
console.log("started");
process.execve?.(spec.pause, [spec.pause, process.argv[2] ?? ""], {}); // its last argument tells `cluster.ts` which lab it belongs to
