// etcd's plan: members that know each other by name, and client and peer ports with a plane each.

import { deepStrictEqual as same, ok, strictEqual as equal } from "node:assert/strict";

import fc from "fast-check";

import { toNameService } from "../../components/edges.ts";
import {
  etcdEndpoints,
  etcdMembersPolicy,
  etcdNames,
  etcdPeerService,
  etcdPeerNames,
  etcdServerNames,
  etcdService,
  etcdStart,
  etcdStartMap,
  etcdStatefulSet,
  quotaFor,
} from "../../components/etcdPlan.ts";
import { houseBreaches, restrictedBreaches } from "../../policy/podSecurity.ts";
import { hardened, labels, leafRef, podOf, secretVolume, spread, trustRef } from "./podSecurity.ts";

const args = {
  ...{ namespace: "mtls", replicas: 3, storage: "2Gi", storageClass: "fast", keepData: true, image: "etcd:v3.6" },
};
const material = {
  server: leafRef("etcd", "etcd-server"),
  peer: leafRef("etcd-peer", "etcd-peer"),
  trust: trustRef("etcd"),
  peerTrust: trustRef("etcd-peer"),
  annotations: { "mtls-everywhere/roots.etcd": "of the roots" },
};
const selector = { "app.kubernetes.io/name": "etcd" };

describe("etcd's StatefulSet", () => {
  const set = etcdStatefulSet("etcd", args, material);

  it("starts all members at once, each with a certificate on both ports", () => {
    const status = (path: string) => ({ httpGet: { path, port: 2381 } });
    const started = (name: string, key: string) => ({
      name,
      valueFrom: { configMapKeyRef: { name: "etcd-initial-cluster", key } },
    });
    same(set, {
      metadata: { name: "etcd", namespace: "mtls", labels: labels("etcd") },
      spec: {
        serviceName: "etcd-peers",
        replicas: 3,
        podManagementPolicy: "Parallel",
        selector: { matchLabels: selector },
        persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
        template: {
          metadata: { labels: labels("etcd"), annotations: { "mtls-everywhere/roots.etcd": "of the roots" } },
          spec: {
            ...podOf("etcd", 1000),
            ...spread("etcd"),
            containers: [
              {
                name: "etcd",
                image: "etcd:v3.6",
                securityContext: hardened,
                resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { memory: "1Gi" } },
                env: [
                  { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
                  started("ETCD_INITIAL_CLUSTER", "cluster"),
                  started("ETCD_INITIAL_CLUSTER_STATE", "state"),
                ],
                command: ["/usr/local/bin/etcd"],
                args: [
                  "--name=$(POD)",
                  "--data-dir=/data/etcd",
                  "--listen-client-urls=https://0.0.0.0:2379",
                  "--advertise-client-urls=https://$(POD).etcd-peers.mtls.svc:2379",
                  "--listen-peer-urls=https://0.0.0.0:2380",
                  "--initial-advertise-peer-urls=https://$(POD).etcd-peers.mtls.svc:2380",
                  "--initial-cluster-token=mtls-etcd",
                  "--client-cert-auth",
                  "--cert-file=/tls/server/tls.crt",
                  "--key-file=/tls/server/tls.key",
                  "--trusted-ca-file=/trust/client/ca.crt",
                  "--peer-client-cert-auth",
                  "--peer-cert-file=/tls/peer/tls.crt",
                  "--peer-key-file=/tls/peer/tls.key",
                  "--peer-trusted-ca-file=/trust/peer/ca.crt",
                  "--tls-min-version=TLS1.2",
                  "--cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256," +
                    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384," +
                    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                  "--listen-metrics-urls=http://0.0.0.0:2381",
                  `--quota-backend-bytes=${832 * 1024 ** 2}`,
                  "--auto-compaction-mode=periodic",
                  "--auto-compaction-retention=1h",
                ],
                ports: [
                  { name: "client", containerPort: 2379 },
                  { name: "peer", containerPort: 2380 },
                  { name: "status", containerPort: 2381 },
                ],
                startupProbe: { ...status("/readyz"), periodSeconds: 1, failureThreshold: 120 },
                readinessProbe: { ...status("/readyz"), periodSeconds: 2 },
                livenessProbe: { ...status("/livez"), periodSeconds: 10, failureThreshold: 6 },
                volumeMounts: [
                  { name: "data", mountPath: "/data" },
                  { name: "server", mountPath: "/tls/server", readOnly: true },
                  { name: "peer", mountPath: "/tls/peer", readOnly: true },
                  { name: "trust", mountPath: "/trust/client", readOnly: true },
                  { name: "peer-trust", mountPath: "/trust/peer", readOnly: true },
                ],
              },
            ],
            volumes: [
              secretVolume("server", "etcd-server"),
              secretVolume("peer", "etcd-peer"),
              { name: "trust", configMap: { name: "etcd-trust" } },
              { name: "peer-trust", configMap: { name: "etcd-peer-trust" } },
            ],
          },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: "data" },
            spec: {
              accessModes: ["ReadWriteOnce"],
              resources: { requests: { storage: "2Gi" } },
              storageClassName: "fast",
            },
          },
        ],
      },
    });
  });

  it("stops writing before its volume is full, counting its log and a copy of the database (case 20)", () => {
    fc.assert(
      fc.property(fc.integer({ min: 512, max: 64 * 1024 }), (size) => {
        const quota = quotaFor(`${size}Mi`) / 1024 ** 2;
        ok(quota >= 64 && quota <= 8 * 1024 && 2 * quota + 384 <= size);
      }),
    );
    equal(quotaFor("1Gi"), 320 * 1024 ** 2);
    equal(quotaFor("1Ti"), 8 * 1024 ** 3);
  });

  it("has the same pods for any number of members: none rolls when others come or go (case 8)", () => {
    for (const replicas of [1, 5]) {
      same(etcdStatefulSet("etcd", { ...args, replicas }, material), { ...set, spec: { ...set.spec, replicas } });
    }
  });

  it("has pods without data start as the ConfigMap says, which no pod mounts (case 8)", () => {
    same(etcdStartMap("etcd", args), {
      metadata: { name: "etcd-initial-cluster", namespace: "mtls", labels: labels("etcd") },
      data: {
        cluster:
          "etcd-0=https://etcd-0.etcd-peers.mtls.svc:2380," +
          "etcd-1=https://etcd-1.etcd-peers.mtls.svc:2380," +
          "etcd-2=https://etcd-2.etcd-peers.mtls.svc:2380",
        state: "new",
      },
    });
  });

  it("follows the rules for pods", () => {
    const pod = set.spec.template.spec;
    same([...restrictedBreaches(pod), ...houseBreaches(pod)], []);
  });

  it("keeps its volumes unless the configuration says otherwise (case 4)", () => {
    const { spec } = etcdStatefulSet("etcd", { ...args, keepData: undefined }, material);
    same(spec.persistentVolumeClaimRetentionPolicy, { whenDeleted: "Retain", whenScaled: "Retain" });
  });

  it("deletes its volumes if the configuration says so, and leaves the storage class to the cluster", () => {
    const { spec } = etcdStatefulSet("etcd", { ...args, keepData: false, storageClass: undefined }, material);
    same(spec.persistentVolumeClaimRetentionPolicy, { whenDeleted: "Delete", whenScaled: "Retain" });
    same(spec.volumeClaimTemplates, [
      {
        metadata: { name: "data" },
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "2Gi" } } },
      },
    ]);
  });
});

describe("etcd's Services", () => {
  it("are one for clients, and one that resolves members before they are ready", () => {
    same(etcdService("etcd", args), {
      metadata: {
        name: "etcd",
        namespace: "mtls",
        labels: labels("etcd"),
        annotations: { "pulumi.com/skipAwait": "true" },
      },
      spec: { selector, ports: [{ name: "client", port: 2379, targetPort: 2379 }] },
    });
    same(etcdPeerService("etcd", args), {
      metadata: { name: "etcd-peers", namespace: "mtls", labels: labels("etcd") },
      spec: {
        clusterIP: "None",
        publishNotReadyAddresses: true,
        selector,
        ports: [
          { name: "client", port: 2379, targetPort: 2379 },
          { name: "peer", port: 2380, targetPort: 2380 },
        ],
      },
    });
  });

  it("talk among themselves and find each other by name", () => {
    const peers = [{ podSelector: { matchLabels: selector } }];
    const ports = [{ protocol: "TCP", port: 2380 }];
    same(etcdMembersPolicy("etcd", args), {
      metadata: { name: "etcd-members", namespace: "mtls" },
      spec: {
        podSelector: { matchLabels: selector },
        policyTypes: ["Ingress", "Egress"],
        ingress: [{ from: peers, ports }],
        egress: [{ to: peers, ports }, toNameService],
      },
    });
  });
});

describe("etcd's names", () => {
  it("are those of three members", () => {
    same(etcdNames("etcd", "mtls", 3), {
      service: "etcd.mtls.svc",
      headless: "etcd-peers",
      members: ["etcd-0", "etcd-1", "etcd-2"],
      memberHosts: ["etcd-0.etcd-peers.mtls.svc", "etcd-1.etcd-peers.mtls.svc", "etcd-2.etcd-peers.mtls.svc"],
    });
    const five = [0, 1, 2, 3, 4].map((member) => `etcd-${member}.etcd-peers.mtls.svc`);
    same(etcdPeerNames("etcd", "mtls"), five);
    same(etcdServerNames("etcd", "mtls"), ["etcd", "etcd.mtls", "etcd.mtls.svc", ...five, "localhost"]);
  });

  it("are every member's for APISIX, so that one may be down; for a single member the Service's, whose address is stable", () => {
    same(
      [1, 3].map((replicas) => etcdEndpoints("etcd", "mtls", replicas)),
      [
        ["https://etcd.mtls.svc:2379"],
        [
          "https://etcd-0.etcd-peers.mtls.svc:2379",
          "https://etcd-1.etcd-peers.mtls.svc:2379",
          "https://etcd-2.etcd-peers.mtls.svc:2379",
        ],
      ],
    );
  });

  const name = fc.stringMatching(/^[a-z]([-a-z0-9]{0,14}[a-z0-9])?$/);
  const any = (check: (name: string, namespace: string, replicas: number) => void) =>
    fc.assert(fc.property(name, name, fc.constantFrom(1, 3, 5), check));

  it("are distinct names without wildcards, in any namespace and number", () => {
    any((name, namespace) => {
      const names = etcdServerNames(name, namespace);
      equal(new Set(names).size, names.length);
      for (const each of names) ok(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(each), each);
    });
  });

  it("in the server's leaf cover whatever a client or a member dials", () => {
    any((name, namespace, replicas) => {
      const covered = etcdServerNames(name, namespace);
      const { spec } = etcdStatefulSet(name, { ...args, namespace, replicas }, material);
      const [container] = spec.template.spec.containers;
      const urls = container!.args
        .filter((arg) => arg.startsWith("--advertise-client-urls=") || arg.startsWith("--initial-advertise-peer-urls="))
        .map((arg) => arg.slice(arg.indexOf("=") + 1));
      equal(urls.length, 2);
      for (let member = 0; member < replicas; member += 1) {
        for (const url of urls) ok(covered.includes(new URL(url.replace("$(POD)", `${name}-${member}`)).hostname));
      }
      const dialled = etcdEndpoints(name, namespace, replicas).map((url) => new URL(url).hostname);
      for (const host of [etcdNames(name, namespace, replicas).service, ...dialled]) ok(covered.includes(host), host);
    });
  });

  it("list every member with the URL under which it advertises itself", () => {
    any((name, namespace, replicas) => {
      const { spec } = etcdStatefulSet(name, { ...args, namespace, replicas }, material);
      const value = (flag: string) =>
        spec.template.spec.containers[0]!.args.find((arg) => arg.startsWith(`--${flag}=`))!.slice(flag.length + 3);
      const members = Array.from({ length: replicas }, (_, member) => `${name}-${member}`);
      const advertised = members.map(
        (member) => `${member}=${value("initial-advertise-peer-urls").replace("$(POD)", member)}`,
      );
      same(etcdStart(name, namespace, members, "existing"), { cluster: advertised.join(","), state: "existing" });
    });
  });
});
