// The renewer's plan: a sidecar whose probes or exit cannot harm the gateway, with rights to single Secrets.

import { deepStrictEqual as same, strictEqual as equal } from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { apisixDeployment } from "../../components/apisixPlan.ts";
import { firstKeys } from "../../components/keyNames.ts";
import { forEver, renewerFiles, renewerPolicy, renewerSidecar } from "../../components/renewer.ts";
import { renewerGrant } from "../../components/renewerGrant.ts";
import { bundleFile } from "../../renewer/bundle.ts";
import { planes } from "../../vocabulary/planes.ts";
import { until } from "../renewer/until.ts";
import { hardened, labels, leafRef, secretVolume, trustRef } from "./podSecurity.ts";

const leaf = leafRef("admin", "apisix-renewer");
const sidecar = renewerSidecar("apisix", { renewerImage: "node:24", keys: firstKeys }, leaf, "1-0123abcd");

describe("the renewer's sidecar", () => {
  it("starts before the gateway, waits for nothing, and keeps its token, leaf and key in its own container", () => {
    const readOnly = (name: string, mountPath: string) => ({ name, mountPath, readOnly: true });
    same(sidecar, {
      container: {
        name: "renewer",
        image: "node:24",
        restartPolicy: "Always",
        command: forEver("node --max-old-space-size=32 /renewer/renewer.cjs /renewer/settings.json"),
        securityContext: hardened,
        resources: { requests: { cpu: "10m", memory: "64Mi" }, limits: { memory: "128Mi" } },
        env: [
          { name: "ADMIN_KEY", valueFrom: { secretKeyRef: { name: "apisix-env", key: "ADMIN_KEY" } } },
          { name: "SEALED_BY", value: "1-0123abcd" },
        ],
        ports: [{ name: "metrics", containerPort: 9464 }],
        volumeMounts: [
          readOnly("renewer", "/renewer"),
          readOnly("renewer-leaf", "/tls/renewer"),
          ...planes.map((plane) => readOnly(`roots-${plane}`, `/roots/${plane}`)),
          readOnly("account", "/account"),
          readOnly("admin-trust", "/trust/admin"),
        ],
      },
      volumes: [
        { name: "renewer", configMap: { name: "apisix-renewer" } },
        secretVolume("renewer-leaf", "apisix-renewer"),
        ...planes.map((plane) => ({ name: `roots-${plane}`, configMap: { name: `${plane}-trust` } })),
        {
          name: "account",
          projected: {
            defaultMode: 0o440,
            sources: [
              { serviceAccountToken: { path: "token", expirationSeconds: 3_600 } },
              { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
            ],
          },
        },
      ],
    });
    const material = {
      ...{ etcdLeaf: leafRef("etcd", "a"), adminLeaf: leafRef("admin", "b"), upstreamLeaf: leafRef("upstream", "c") },
      ...{ etcdTrust: trustRef("etcd"), adminTrust: trustRef("admin"), upstreamTrust: trustRef("upstream") },
      ...{ renewerLeaf: leaf, sealedBy: "1-0123abcd", annotations: {} },
    };
    const args = { namespace: "mtls", replicas: 1, image: "apisix:3.18.0", renewerImage: "node:24", keys: firstKeys };
    const { initContainers, containers } = apisixDeployment("apisix", args, material).spec.template.spec;
    const own = sidecar.volumes.map(({ name }) => name);
    for (const { name, volumeMounts } of [...initContainers, ...containers]) {
      const shared = volumeMounts.filter((mount) => own.includes(mount.name));
      equal(shared.length, name === "renewer" ? own.length : 0, name);
    }
  });

  it("runs the committed bundle, and is told where things are", () => {
    const files = renewerFiles("apisix-admin.mtls.svc");
    equal(files["renewer.cjs"], readFileSync(bundleFile, "utf8"));
    same(JSON.parse(files["settings.json"]), {
      admin: {
        port: 9180,
        serverName: "apisix-admin.mtls.svc",
        trust: "/trust/admin/ca.crt",
        leaf: "/tls/renewer",
      },
      account: "/account",
      roots: {
        etcd: "/roots/etcd/ca.crt",
        "etcd-peer": "/roots/etcd-peer/ca.crt",
        admin: "/roots/admin/ca.crt",
        edge: "/roots/edge/ca.crt",
        upstream: "/roots/upstream/ca.crt",
      },
      gatewayPort: 9443,
      metricsPort: 9464,
    });
  });
});

describe("the renewer's key", () => {
  it("is the Admin key in use, whatever its name", () => {
    const { container } = renewerSidecar(
      "apisix",
      { renewerImage: "node:24", keys: { adminKeys: ["2", "1"] } },
      leaf,
      "1-0123abcd",
    );
    same(container.env[0], {
      name: "ADMIN_KEY",
      valueFrom: { secretKeyRef: { name: "apisix-env", key: "ADMIN_KEY_2" } },
    });
  });
});

describe("the renewer's process", function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), "for-ever-"));
  const log = join(folder, "pids");
  after(() => rmSync(folder, { recursive: true }));

  it("restarts when killed without its container exiting, which exits at once when told to", async () => {
    writeFileSync(log, "");
    const program = join(folder, "program.sh");
    writeFileSync(program, `echo $$ >> ${log}; exec sleep 100`);
    const [shell = "", ...args] = forEver(`sh ${program}`);
    const container = spawn(shell, args, { stdio: "ignore" });
    const ended = new Promise<unknown[]>((resolve) => container.once("exit", (...how) => resolve(how)));
    const pids = () => readFileSync(log, "utf8").trim().split("\n").filter(Boolean).map(Number);
    for (const starts of [1, 2, 3]) {
      await until(`start ${starts}`, () => pids().length === starts);
      equal(container.exitCode, null);
      if (starts < 3) process.kill(pids().at(-1)!, "SIGKILL");
    }
    container.kill("SIGTERM");
    same(await ended, [0, null]);
    const last = pids().at(-1)!;
    await until("its child has ended too", () => {
      try {
        return !process.kill(last, 0);
      } catch {
        return true;
      }
    });
    equal(pids().length, 3);
  });
});

describe("the renewer's rights", () => {
  it("are to read a single Secret, by name", () => {
    const grant = renewerGrant("site-renewer", {
      secret: { namespace: "team", name: "site" },
      gateway: { namespace: "mtls", serviceAccount: "apisix" },
    });
    const metadata = { name: "site-renewer", namespace: "team", labels: labels("site-renewer") };
    same(grant, {
      role: {
        metadata,
        rules: [{ apiGroups: [""], resources: ["secrets"], resourceNames: ["site"], verbs: ["get", "list", "watch"] }],
      },
      binding: {
        metadata,
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "site-renewer" },
        subjects: [{ kind: "ServiceAccount", name: "apisix", namespace: "mtls" }],
      },
    });
  });

  it("lead to the API server's own addresses", () => {
    same(renewerPolicy("apisix", "mtls", { addresses: ["192.0.2.1", "2001:db8::1"], port: 6443 }), {
      metadata: { name: "apisix-renewer", namespace: "mtls" },
      spec: {
        podSelector: { matchLabels: { "app.kubernetes.io/name": "apisix" } },
        policyTypes: ["Egress"],
        egress: [
          {
            to: [{ ipBlock: { cidr: "192.0.2.1/32" } }, { ipBlock: { cidr: "2001:db8::1/128" } }],
            ports: [{ protocol: "TCP", port: 6443 }],
          },
        ],
      },
    });
  });
});
