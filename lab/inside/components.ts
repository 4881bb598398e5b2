/** What runs on the lab's node, as data: configuration files and command lines. */
import { stringify } from "yaml";
import { addresses, pauseImage, run } from "./addresses.ts";

/** Where `init.ts` finds what it starts. */
export interface NodeSpec {
  /** The host's loopback port on which the API server answers. */
  port: number;
  /** The lab's folders for configuration and keys, and for logs. */
  config: string;
  pki: string;
  logs: string;
  /** The lab's cgroup, below each hierarchy's root. */
  cgroup: string;
  /** The trees of Debian's programs, see `debian.ts`. */
  debian: string;
  kube: string;
  coredns: string;
  pause: string;
}

export interface Component {
  name: string;
  command: string[];
  /** Started once the API server answers: without it this component gives up. */
  needsApi?: boolean;
  /** Runs in the host's network, where the user is; all others run in the lab's own. */
  onHost?: boolean;
}

export function configFiles({ pki, config, logs }: NodeSpec): Record<string, string> {
  const kubelet = {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    failCgroupV1: false,
    cgroupDriver: "cgroupfs",
    cgroupsPerQOS: false, // only runc makes cgroups for pods, all below the lab's own
    enforceNodeAllocatable: [],
    containerRuntimeEndpoint: `unix://${run.socket}`,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: `${pki}/ca.crt` },
    },
    authorization: { mode: "Webhook" },
    tlsCertFile: `${pki}/kubelet.crt`,
    tlsPrivateKeyFile: `${pki}/kubelet.key`,
    clusterDNS: [addresses.node],
    clusterDomain: "cluster.local",
    resolvConf: `${config}/resolv.conf`,
    podLogsDir: `${logs}/pods`,
    volumePluginDir: "/run/volplugins",
    configMapAndSecretChangeDetectionStrategy: "Watch",
    syncFrequency: "1s", // a renewed Secret reaches its pods within a second or two
    nodeStatusUpdateFrequency: "10s",
    failSwapOn: false,
    imageGCHighThresholdPercent: 100, // a garbage-collected image could not be pulled again
    evictionHard: {
      "memory.available": "1Mi",
      "nodefs.available": "0%",
      "imagefs.available": "0%",
      "nodefs.inodesFree": "0%",
    },
    maxPods: 110,
    serializeImagePulls: false,
  };
  const proxy = {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: "iptables",
    clientConnection: { kubeconfig: `${pki}/kube-proxy.kubeconfig` },
    clusterCIDR: addresses.pods,
    iptables: { minSyncPeriod: "0s", localhostNodePorts: true },
    conntrack: { maxPerCore: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" }, // 0: leave the host's values
    healthzBindAddress: "127.0.0.1:10256",
    metricsBindAddress: "127.0.0.1:10249",
  };
  const network = {
    cniVersion: "0.4.0",
    name: "lab",
    plugins: [
      {
        type: "bridge",
        bridge: "cni0",
        isGateway: true,
        isDefaultGateway: true,
        hairpinMode: true,
        ipam: { type: "host-local", dataDir: "/run/cni-ipam", ranges: [[{ subnet: addresses.pods }]] },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
  const unused = [
    "snapshotter.v1.btrfs",
    "snapshotter.v1.zfs",
    "snapshotter.v1.devmapper",
    "snapshotter.v1.aufs",
    "internal.v1.opt",
  ]
    .concat("tracing.processor.v1.otlp")
    .map((plugin) => `"io.containerd.${plugin}"`);
  const containerd = `version = 2
root = "${run.containerd}/root"
state = "${run.containerd}/state"
disabled_plugins = [${unused.join(", ")}]
[grpc]
  address = "${run.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${config}/cni"
`;
  const corefile = `.:53 {
  bind ${addresses.node}
  errors
  health 127.0.0.1:8080
  ready 127.0.0.1:8181
  cache 5
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${pki}/coredns.kubeconfig lab
    pods disabled
  }
  forward ${addresses.acmeZone} ${addresses.nameServer}
}
`;
  return {
    "kubelet.yaml": stringify(kubelet),
    "kube-proxy.yaml": stringify(proxy),
    "cni/10-lab.conflist": JSON.stringify(network),
    "containerd.toml": containerd,
    Corefile: corefile,
    "resolv.conf": `nameserver ${addresses.node}\n`,
  };
}

/** In starting order. */
export function components({ kube, coredns, pki, config, port }: NodeSpec): Component[] {
  const etcd = "http://127.0.0.1:2379";
  const kubeconfigs = (name: string) =>
    ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"].map(
      (flag) => `--${flag}=${pki}/${name}.kubeconfig`,
    );
  return [
    {
      name: "relay",
      onHost: true,
      // Without nodelay every call through a port-forward takes 40 ms longer.
      command: ["socat", `TCP-LISTEN:${port},bind=127.0.0.1,fork,reuseaddr,nodelay`, `UNIX-CONNECT:${run.api}`],
    },
    {
      name: "relay-inside",
      command: ["socat", `UNIX-LISTEN:${run.api},fork,mode=600`, `TCP:127.0.0.1:${addresses.apiPort},nodelay`],
    },
    {
      name: "etcd",
      command: [
        ...[kube, "etcd", "--data-dir=/run/etcd", "--unsafe-no-fsync", "--log-level=warn"],
        ...[`--listen-client-urls=${etcd}`, `--advertise-client-urls=${etcd}`],
        ...["--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380"],
        "--initial-cluster=default=http://127.0.0.1:2380",
      ],
    },
    { name: "containerd", command: ["containerd", "--config", `${config}/containerd.toml`] },
    {
      name: "kube-apiserver",
      command: [
        ...[kube, "kube-apiserver", `--etcd-servers=${etcd}`, "--allow-privileged=true", "--profiling=false"],
        ...["--bind-address=0.0.0.0", `--secure-port=${addresses.apiPort}`, `--advertise-address=${addresses.node}`],
        ...[
          `--tls-cert-file=${pki}/apiserver.crt`,
          `--tls-private-key-file=${pki}/apiserver.key`,
          `--client-ca-file=${pki}/ca.crt`,
        ],
        ...[`--kubelet-client-certificate=${pki}/admin.crt`, `--kubelet-client-key=${pki}/admin.key`],
        ...[`--kubelet-certificate-authority=${pki}/ca.crt`, "--kubelet-preferred-address-types=InternalIP"],
        ...["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"],
        ...[
          `--service-cluster-ip-range=${addresses.services}`,
          "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        ],
        ...[`--service-account-key-file=${pki}/sa.pub`, `--service-account-signing-key-file=${pki}/sa.key`],
        ...[`--requestheader-client-ca-file=${pki}/ca.crt`, "--requestheader-allowed-names=front-proxy"],
        ...["--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group"],
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
      ],
    },
    {
      name: "kube-controller-manager",
      needsApi: true,
      command: [
        ...[kube, "kube-controller-manager", ...kubeconfigs("kube-controller-manager"), "--profiling=false"],
        ...[
          `--cluster-signing-cert-file=${pki}/ca.crt`,
          `--cluster-signing-key-file=${pki}/ca.key`,
          `--root-ca-file=${pki}/ca.crt`,
        ],
        ...[
          `--service-account-private-key-file=${pki}/sa.key`,
          "--use-service-account-credentials",
          "--allocate-node-cidrs=false",
        ],
        ...["--leader-elect=false", "--bind-address=127.0.0.1", "--flex-volume-plugin-dir=/run/volplugins"],
      ],
    },
    {
      name: "kube-scheduler",
      needsApi: true,
      command: [
        ...[kube, "kube-scheduler", ...kubeconfigs("kube-scheduler")],
        ...["--leader-elect=false", "--bind-address=127.0.0.1", "--profiling=false"],
      ],
    },
    {
      name: "kube-proxy",
      needsApi: true,
      command: [kube, "kube-proxy", `--config=${config}/kube-proxy.yaml`, "--hostname-override=lab"],
    },
    {
      name: "kubelet",
      needsApi: true,
      command: [
        ...[kube, "kubelet", `--config=${config}/kubelet.yaml`, `--kubeconfig=${pki}/kubelet.kubeconfig`],
        ...["--root-dir=/run/kubelet", "--hostname-override=lab", `--node-ip=${addresses.node}`, "--v=1"],
      ],
    },
    { name: "coredns", needsApi: true, command: [coredns, "-conf", `${config}/Corefile`] },
  ];
}
