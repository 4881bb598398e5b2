// One table of wrong inputs and what the product says to each, word for word. docs/errors.md explains every message.

import "reflect-metadata";

import { deepStrictEqual as same, equal, ok } from "node:assert/strict";
import { execFile } from "node:child_process";
import { createPrivateKey, webcrypto } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as x509 from "@peculiar/x509";
import * as pulumi from "@pulumi/pulumi";

import type { Props } from "../apisix-admin/checks.ts";
import { type KindName } from "../apisix-admin/kinds/registry.ts";
import { sealOf } from "../apisix-admin/sealing.ts";
import { adminClient, closeSessions } from "../apisix-admin/session.ts";
import { Cluster } from "../cluster-access/cluster.ts";
import { limitCertificates } from "../components/certificateLimits.ts";
import { CertManager, keepInstalled } from "../components/certManager.ts";
import { connectCluster } from "../components/cluster.ts";
import { checkStore, type StoreShape } from "../components/etcdCheck.ts";
import { checkCallerList } from "../components/callers.ts";
import { checkCallers } from "../components/gateway/allowed.ts";
import { checkKeys } from "../components/keyCheck.ts";
import { firstKeys, type KeyNames, startedWithKeys } from "../components/keyNames.ts";
import { checkHosts } from "../components/certificate.ts";
import { checkPlain } from "../components/site.ts";
import { parseConfig } from "../config.ts";
import { check, create, diff, remove } from "../dynamic-resources/resources.ts";
import { contractVersions, refuseOldGateway } from "../outputs.ts";
import { checkIssued } from "../neighbours/issuedLeaves.ts";
import { addressWithin } from "../progress/address.ts";
import { readOutputs } from "../tools/verify/outputs.ts";
import { reportFiles } from "../tools/verify/report/files.ts";
import type { AdminEndpoint } from "../vocabulary/endpoints.ts";
import { clusterUid, MemoryCluster, startApisix, startEtcd } from "./support/apisix.ts";
import { Authority } from "./support/authorities.ts";
import { certificateRows } from "./support/certificateRows.ts";
import { egressRows } from "./support/egressRows.ts";
import { kubeconfigFor, KubernetesApi, LoopbackCluster } from "./support/kubernetesApi.ts";
import { neighbourRows } from "./support/neighbourRows.ts";
import { outputs as platform } from "./support/outputs.ts";
import { rotationRows } from "./support/rotationRows.ts";
import { storeRows } from "./support/storeRows.ts";

/** A row: what is wrong, where it is tried, and the whole message. */
interface Row {
  readonly input: string;
  readonly message: string;
  readonly provoke: () => Promise<string>;
}

const folder = mkdtempSync(join(tmpdir(), "bad-input-"));
const memory = new MemoryCluster();
let api: KubernetesApi;
let cluster: LoopbackCluster;
let apisix: Awaited<ReturnType<typeof startApisix>>;
let edge: Authority;
let newer: Authority;
const clusters: LoopbackCluster[] = [];

/** Stack dev's configuration with these values. */
const configured = (values: object) => async () =>
  said(async () => parseConfig({ trustDomain: "dev.internal", ...values }, "dev"));
const config = (line: string) =>
  `The configuration in Pulumi.dev.yaml is invalid:\n  ${line}\nNothing was changed. The keys are described in config.ts.`;

const owner = "mtls/dev/hello";
const common = (admin: Partial<AdminEndpoint> = {}) => ({ admin: { ...apisix.endpoint, ...admin }, owner });
const upstream = (change: object = {}, admin: Partial<AdminEndpoint> = {}): Props => ({
  ...common(admin),
  ...{ objectId: "hello", serverName: "hello.example", nodes: [{ host: "hello.mtls.svc", port: 443 }] },
  ...change,
});
const route = (change: object = {}): Props => ({
  ...common(),
  ...{ objectId: "hello", hosts: ["site.example"], uris: ["/*"], upstream: "hello" },
  ...change,
});
const ssl = (change: object = {}): Props => ({
  ...common(),
  ...{ objectId: "site", use: "server", snis: ["site.example"] },
  certificate: { namespace: "mtls", name: "site" },
  clients: { trust: { namespace: "mtls", name: "edge", key: "ca.crt" } },
  ...change,
});

/** Leaves of other namespaces, issued while nothing limited who gets which. */
const issuedPath = "/apis/cert-manager.io/v1/certificates";
const issuedToOthers = [
  { namespace: "shop", name: "shop", usages: ["server auth"], dnsNames: ["shop.example.com"] },
  { namespace: "web", name: "cart", usages: ["client auth"], uris: [] },
  { namespace: "web", name: "till" },
].map(({ namespace, name, ...spec }) => ({
  metadata: { namespace, name },
  spec: {
    issuerRef: { kind: "ClusterIssuer", name: "mtls-edge" },
    ...{ uris: [`spiffe://dev.internal/ns/${namespace}/sa/${name}`], duration: "24h0m0s", ...spec },
  },
  status: { conditions: [{ type: "Ready", status: "True" }] },
}));
const issuedLines = `  Certificate shop/shop: gateway.hosts does not list "shop/shop.example.com".
  Certificate web/cart: it must have the identity of a service account in its namespace. Set spec.uris to one such as spiffe://dev.internal/ns/web/sa/cart.
  Certificate web/till: it must be for clients or for servers. Set spec.usages to one of "client auth" and "server auth".`;
const checkLimited = () =>
  checkIssued(cluster, parseConfig({ trustDomain: "dev.internal" }, "dev"), {
    founder: "1",
    generations: [{ name: "1", trustDomain: "dev.internal" }],
  });

/** What a preview says to these inputs. */
const checked = (kind: KindName, inputs: () => Props) => async () => {
  const { failures } = await check(kind, inputs(), cluster);
  return failures.map(({ reason }) => reason).join(" ");
};
const made =
  (kind: KindName, inputs: () => Props, at: () => Cluster = () => cluster) =>
  async () =>
    said(() => create(kind, inputs(), at()));

/** A certificate object whose Secret `name` holds this pair. */
const certified = (name: string, pair: () => Promise<{ cert: string; key: string }>) => async () => {
  const { cert, key } = await pair();
  api.secret("mtls", name, { "tls.crt": cert, "tls.key": key });
  return checked("ssls", () => ssl({ certificate: { namespace: "mtls", name } }))();
};
const adminKey = (key: string) => async () => {
  api.secret("mtls", "another-key", { key });
  const ref = { namespace: "mtls", name: "another-key", key: "key" };
  return said(() => create("upstreams", upstream({}, { key: ref }), freshCluster()));
};
const site = (lifetime?: number) =>
  edge.leaf({
    subject: "CN=site",
    dnsNames: ["site.example"],
    usages: ["server auth"],
    ...(lifetime === undefined ? {} : { lifetime }),
  });
const outputs = (value: object) => async () => {
  const file = join(folder, "outputs.json");
  writeFileSync(file, JSON.stringify(value));
  return said(() => readOutputs({ stack: "dev", file }, folder));
};
/** What recover says about a stack that lives on this cluster, if every other Pulumi command does this. */
const recovered =
  (uid: string, args: readonly string[], otherwise: string, pending: readonly object[] = []) =>
  async () => {
    const resources = [
      { urn: "urn:stack", type: "pulumi:pulumi:Stack" },
      { urn: "urn:cluster", type: "pulumi:providers:kubernetes", inputs: { clusterIdentifier: uid } },
    ];
    const state = { version: 3, deployment: { resources, pending_operations: pending } };
    writeFileSync(join(folder, "state.json"), JSON.stringify(state));
    writeFileSync(join(folder, "kubeconfig"), api.kubeconfig);
    const script = `#!/bin/sh
case "$*" in "stack export -s dev") cat ${folder}/state.json ;; "config --json -s dev") echo "{}" ;; *) ${otherwise} ;; esac
`;
    writeFileSync(join(folder, "pulumi"), script, { mode: 0o755 });
    const env = { ...process.env, PATH: `${folder}:/usr/bin:/bin`, KUBECONFIG: join(folder, "kubeconfig") };
    const cli = join(import.meta.dirname, "../tools/recover/cli.ts");
    return new Promise<string>((done) =>
      execFile(process.execPath, [cli, "-s", "dev", ...args], { env }, (_error, _stdout, stderr) =>
        done(stderr.trim()),
      ),
    );
  };
const advice = "When the pods are ready (kubectl -n mtls get pods), run the same command again: it resumes from here.";
const etcdRefused = (line: string) =>
  `The etcd of stack dev cannot be changed like this:\n  ${line}\nNothing was changed. docs/etcd.md has the steps.`;
const keysRefused = (line: string) =>
  `The keys of stack dev cannot be changed like this:\n  ${line}\nNothing was changed. docs/keys.md has the steps.`;
const nowhere = { type: "roundrobin", nodes: { "127.0.0.1:1": 1 } };
const issued = (name: string) =>
  `If cert-manager issues it, look at: kubectl -n mtls describe certificate ${name}. Otherwise run pulumi up --refresh in the stack that owns it.`;
const certificateRemedy = "Correct the Certificate that issues it, or name another Secret.";
const keyRemedy = "Use one of letters and digits, and restart the gateway's pods.";

const ownCertManager = { metadata: { name: "cert-manager", labels: { "mtls-everywhere/platform": "mtls" } } };

const rootKey = {
  ...{ cluster: clusterUid, certificate: "etcd-root", secret: { namespace: "mtls", name: "etcd-root" } },
};

const rows: readonly Row[] = [
  // Configuration
  {
    input: "no trust domain",
    provoke: configured({ trustDomain: undefined }),
    message: config("trustDomain: is required; set it with: pulumi config set trustDomain VALUE"),
  },
  {
    input: "2 etcd members",
    provoke: configured({ etcd: { replicas: 2 } }),
    message: config("etcd.replicas: must be 1, 3 or 5: an even number adds no tolerance"),
  },
  {
    input: "a number of pods in quotes",
    provoke: configured({ apisix: { replicas: "2" } }),
    message: config("apisix.replicas: must be a number, not a string"),
  },
  {
    input: "a key that does not exist",
    provoke: configured({ etcd: { replica: 3 } }),
    message: config("etcd.replica: is not a known key; remove it or correct its spelling"),
  },
  {
    input: "a path that was taken for a key",
    provoke: configured({ "apisix.replicas": "2" }),
    message: config(
      "apisix.replicas: is a path, but was set as a key; remove it (pulumi config rm 'apisix.replicas') and set it with: pulumi config set --path 'apisix.replicas' VALUE. With pulumi up -c, add --config-path",
    ),
  },
  {
    input: "a secret in the configuration",
    provoke: () =>
      said(async () =>
        parseConfig({ trustDomain: "dev.internal", upstream: { files: { "index.json": "s3cret" } } }, "dev", [
          "upstream",
        ]),
      ),
    message: config(
      "upstream: holds a secret, but the state and the cluster would show it in the clear; set it again without --secret, and keep secrets elsewhere",
    ),
  },
  {
    input: "a generation with a name that other objects have",
    provoke: configured({ pki: { root: { kind: "cluster", trusted: ["1", "peer"] } } }),
    message: config(
      'pki.root.trusted.1: must not start with "peer" or end with "self-signed": other objects use such names',
    ),
  },
  {
    input: "an active generation that is not trusted",
    provoke: configured({ pki: { root: { kind: "cluster", active: "2", trusted: ["1"] } } }),
    message: config("pki.root.trusted: must include the active generation: otherwise nobody would trust its leaves"),
  },
  {
    input: "a cert-manager whose chart is too old (case 9)",
    provoke: configured({ certManager: { version: "v1.13.6" } }),
    message: config('certManager.version: must be "v1.15.0" or newer: older charts would install no CRDs'),
  },
  {
    input: "a cert-manager of somebody else's: nothing limits requests",
    provoke: async () => {
      const { certManager: settings } = parseConfig(
        { trustDomain: "dev.internal", certManager: { install: false } },
        "dev",
      );
      const warned = await heard(() =>
        inStackWith(undefined, async () => {
          const certManager = new CertManager("cert-manager", { ...settings, platform: "mtls" });
          const limited = { namespace: "mtls", access: freshCluster(), generations: [], hosts: [] };
          return limitCertificates("limits", { ...limited, certManager, settings });
        }),
      );
      return warned.replace("warning: [runtime] ", "");
    },
    message:
      "Nothing limits which certificates the platform's issuers sign: that takes certManager.install and certManager.approver.install. " +
      "Whoever may create Certificates or CertificateRequests gets any name from the edge and upstream planes, in any namespace: " +
      "limit who may create them (docs/threat-model.md).",
  },
  {
    input: "limits that come to a platform, and under which other namespaces' leaves could not be renewed",
    provoke: async () =>
      withAnswer(issuedPath, { items: issuedToOthers }, () => inStackWith(undefined, checkLimited, { admin: {} })),
    message: `This update limits who gets which leaf, and leaves that other namespaces have could not be renewed:
${issuedLines}
Nothing was changed. List a host only if that namespace is to have it; docs/threat-model.md says who may have which leaf, and certManager.approver.install: false puts the limits off.`,
  },
  {
    input: "a host that leaves the list while its certificate is used",
    provoke: async () => {
      const limited = { admin: {}, hosts: [] };
      const warned = await withAnswer(issuedPath, { items: issuedToOthers }, () =>
        heard(() => inStackWith(undefined, checkLimited, limited)),
      );
      return warned.replace("warning: [runtime] ", "");
    },
    message: `Leaves that other namespaces have will not be renewed:
${issuedLines}
List a host only if that namespace is to have it; docs/threat-model.md says who may have which leaf.`,
  },
  {
    input: "limits, by somebody who may not look at other namespaces' leaves",
    provoke: async () => {
      const warned = await withAnswer(issuedPath, 403, () => heard(checkLimited));
      return warned.replace("warning: [runtime] ", "");
    },
    message:
      "Whether leaves in other namespaces could still be renewed was not checked: The kubeconfig's user may not read certificates: " +
      'grant it "list" on certificates.cert-manager.io in all namespaces (docs/roles.md).',
  },
  {
    input: "volumes to keep in a namespace that goes (case 4)",
    provoke: configured({ etcd: { keepData: true } }),
    message: config(
      "etcd.keepData: cannot be true while the stack owns its namespace: pulumi destroy deletes the namespace with the volumes in it. Unset it, or set createNamespace: false (docs/roles.md)",
    ),
  },
  {
    input: "a lifetime in minutes",
    provoke: configured({ pki: { leafDuration: "30m" } }),
    message: config('pki.leafDuration: must be a whole number of hours, at least "1h"'),
  },
  {
    input: "the gateway's own host without TLS",
    provoke: configured({ gateway: { host: "api.example", plainHttp: { serve: ["api.example"] } } }),
    message: config(
      "gateway.plainHttp.serve: must not name gateway.host, whose clients show certificates: it can be in redirect",
    ),
  },
  {
    input: "a host that is both served without TLS and not",
    provoke: configured({ gateway: { plainHttp: { serve: ["foo.example"], redirect: ["foo.example"] } } }),
    message: config("gateway.plainHttp: must have each host in one of its lists"),
  },
  {
    input: "an address without TLS",
    provoke: configured({ gateway: { plainHttp: { redirect: ["192.0.2.7"] } } }),
    message: config("gateway.plainHttp.redirect.0: must be a host name, as clients ask for it"),
  },
  {
    input: "an address for the gateway's host",
    provoke: configured({ gateway: { host: "192.168.49.2" } }),
    message: config("gateway.host: must be a host name: clients send no server name for an IP address"),
  },
  {
    input: "a certificate of two sources",
    provoke: configured({ gateway: { certificate: { issuerRef: { name: "ca" }, secretName: "public" } } }),
    message: config("gateway.certificate: must name either issuerRef or secretName"),
  },
  {
    input: "roots that are no certificates",
    provoke: configured({ gateway: { certificate: { secretName: "public", roots: "roots.pem" } } }),
    message: config("gateway.certificate.roots: must be one or more root certificates in PEM"),
  },
  {
    input: "a client without its namespace",
    provoke: configured({ gateway: { allow: ["cart"] } }),
    message: config('gateway.allow.0: must be a client such as "web/cart": its namespace and its service account'),
  },
  {
    input: "a host without its namespace",
    provoke: configured({ gateway: { hosts: ["shop.example.com"] } }),
    message: config('gateway.hosts.0: must be a host such as "shop/shop.example.com": whose namespace, and its name'),
  },
  {
    input: "the platform's own host, given to others",
    provoke: configured({ gateway: { hosts: ["shop/upstream"] } }),
    message: config("gateway.hosts: must not name gateway.host: its leaf is the platform's own"),
  },
  {
    input: "a host of the platform's own namespace",
    provoke: configured({ gateway: { hosts: ["mtls/shop.example.com"] } }),
    message: config(
      "gateway.hosts: must not name the platform's own namespace: each Site of the stack has its leaf there without being listed",
    ),
  },
  {
    input: "a leaf that outlives its root",
    provoke: configured({ pki: { leafDuration: "24h", rootDuration: "25h" } }),
    message: config("pki.rootDuration: must be at least twice leafDuration: a leaf may not outlive its root"),
  },
  // The cluster and what is read from it
  {
    input: "an API server that cannot be reached",
    provoke: () => said(() => new Cluster({ kubeconfig: kubeconfigFor(2) }).uid()),
    message:
      'Namespace kube-system could not be read from https://localhost:2: ECONNREFUSED. Check that the cluster is up and that the kubeconfig\'s context "here" is the right one: kubectl get --raw /readyz',
  },
  {
    input: "a context that the kubeconfig does not have",
    provoke: () => said(async () => new Cluster({ kubeconfig: kubeconfigFor(2), context: "prod" })),
    message: 'The kubeconfig has no context "prod"; it has: here. Set kubernetes:context to one of them.',
  },
  {
    input: "credentials that the API server does not accept",
    provoke: () => withAnswer("namespaces/mtls/secrets/site", 401, made("ssls", ssl)),
    message:
      'Secret mtls/site could not be read: the kubeconfig\'s credentials in context "here" were rejected. Renew them.',
  },
  {
    input: "a user who may not read Secrets",
    provoke: () => withAnswer("namespaces/mtls/secrets/site", 403, made("ssls", ssl)),
    message: `The kubeconfig's user may not read Secret mtls/site: grant it "get" on that object.`,
  },
  {
    input: "another cluster than the platform's",
    provoke: checked("ssls", () => ssl(common({ cluster: "00000000-0000-4000-8000-000000000002" }))),
    message:
      'The kubeconfig\'s context "here" points at cluster 00000000-0000-4000-8000-000000000001, but the resource lives in cluster 00000000-0000-4000-8000-000000000002. Point KUBECONFIG or kubernetes:context at the right cluster.',
  },
  {
    input: "another cluster than the stack's",
    provoke: () => inStackWith("00000000-0000-4000-8000-000000000002", () => connectCluster("cluster")),
    message:
      'The kubeconfig\'s context "here" points at cluster 00000000-0000-4000-8000-000000000001, but stack organization/mtls-everywhere/dev lives in cluster 00000000-0000-4000-8000-000000000002. Point KUBECONFIG or kubernetes:context at the right cluster.\nNothing was changed. If cluster 00000000-0000-4000-8000-000000000002 is gone for good: node tools/recover/cli.ts -s organization/mtls-everywhere/dev --forget-cluster',
  },
  {
    input: "a user who may not read where the API server is",
    provoke: () =>
      withAnswer("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", 403, () =>
        inStackWith(clusterUid, async () => (await connectCluster("cluster")).apiServer()),
      ),
    message:
      "The kubeconfig's user may not read EndpointSlice default/kubernetes: grant it \"get\" on that object.\nNothing was changed. It says where the API server listens, which the renewer's NetworkPolicy needs to know.",
  },
  {
    input: "a cert-manager of the platform's own that the configuration does without",
    provoke: () =>
      withAnswer("namespaces", { items: [ownCertManager] }, () => {
        const { certManager } = parseConfig({ trustDomain: "dev.internal", certManager: { install: false } }, "dev");
        return said(() => keepInstalled(freshCluster(), { ...certManager, platform: "mtls" }));
      }),
    message:
      "The cert-manager in namespace cert-manager belongs to this platform, and the configuration would delete it together with its namespace, which holds the keys that sign for the edge and upstream planes.\nNothing was changed. Restore certManager.install: true and certManager.namespace: cert-manager. To hand it over, also set certManager.keep: true and run pulumi up; then make the change.",
  },
  {
    input: "another number of etcd's members than there is (case 8)",
    provoke: () => etcdOf({ replicas: 1, storage: "1Gi" }, { replicas: 3, storage: "1Gi" }),
    message: etcdRefused(
      "etcd.replicas: etcd has 1 member, and members are added and removed one at a time. Run node tools/etcd/cli.ts scale 3 -s dev, then pulumi up; or set it back to 1.",
    ),
  },
  {
    input: "another volume than etcd's members have (case 13)",
    provoke: () => etcdOf({ replicas: 1, storage: "1Gi" }, { replicas: 1, storage: "2Gi" }),
    message: etcdRefused(
      "etcd.storage: the volumes were created with 1Gi, and a StatefulSet's claims cannot be changed. Set it back to 1Gi, or expand the volumes first.",
    ),
  },
  {
    input: "another class than that of etcd's volumes (case 13)",
    provoke: () =>
      etcdOf(
        { replicas: 1, storage: "1Gi", storageClass: "fast" },
        { replicas: 1, storage: "1Gi", storageClass: "slow" },
      ),
    message: etcdRefused(
      "etcd.storageClass: the volumes were created with class fast, and a StatefulSet's claims cannot be changed. Set it back to fast, or move the volumes first.",
    ),
  },
  {
    input: "an etcd that may not be looked at",
    provoke: () =>
      withAnswer("/apis/apps/v1/namespaces/mtls/statefulsets/etcd", 403, () =>
        inStackWith(undefined, () =>
          checkStore("etcd", freshCluster(), { replicas: 1, storage: "1Gi", namespace: "mtls" }),
        ),
      ),
    message:
      'Cannot tell whether etcd may be changed: The kubeconfig\'s user may not read StatefulSet mtls/etcd: grant it "get" on that object.\nNothing was changed.',
  },
  ...neighbourRows(() => ({
    ...{ api, cluster: freshCluster(), inStack: (act, outputs) => inStackWith(undefined, act, outputs) },
  })),
  ...certificateRows(() => ({
    ...{ api, cluster: freshCluster(), authority: edge, another: newer },
    inStack: (act) => inStackWith(undefined, act),
  })),
  {
    input: "a load balancer in a cluster that has none (case 26)",
    provoke: () => said(() => addressWithin({ namespace: "mtls", name: "apisix" }, freshCluster(), "1s")),
    message:
      "Service mtls/apisix got no external address within 1s. The platform is up, and can be reached from inside the cluster.\n" +
      "If nothing in this cluster assigns addresses, set gateway.serviceType: ClusterIP. Otherwise find out what is wrong (kubectl -n mtls describe service apisix), then run pulumi up again.",
  },
  ...egressRows(() => edge),
  ...storeRows(() => ({ api, cluster: freshCluster(), folder })),
  ...rotationRows(() => ({ api, cluster: freshCluster(), roots: [edge, newer] })),
  {
    input: "a root's key whose Certificate is still there",
    provoke: () =>
      withAnswer("/apis/cert-manager.io/v1/namespaces/mtls/certificates/etcd-root", {}, () =>
        withAnswer(
          "namespaces/mtls/secrets/etcd-root",
          { metadata: { annotations: { "cert-manager.io/certificate-name": "etcd-root" } } },
          () => said(() => remove("rootKey", "mtls/etcd-root", rootKey, cluster)),
        ),
      ),
    message:
      "Secret mtls/etcd-root holds the key of Certificate mtls/etcd-root, which still exists: cert-manager would create a new key at once. Delete the Certificate first.",
  },
  {
    input: "a key that comes first at once",
    provoke: () => keysOf({ adminKeys: ["1"] }, { adminKeys: ["2"] }),
    message: keysRefused(
      'apisix.adminKeys: "2" comes first, but pod apisix-0 runs without it and would refuse it. Append it (["1", "2"]), run pulumi up, then move it to the front.',
    ),
  },
  {
    input: "a key that leaves while it is in use",
    provoke: () => keysOf({ keyring: ["1", "2"] }, { keyring: ["2"] }),
    message: keysRefused(
      'apisix.keyring: "1" was removed, but pod apisix-0 seals with it. Put it back (["2", "1"]), run pulumi up, then drop it.',
    ),
  },
  {
    input: "an etcd user that leaves while APISIX is signed in as it",
    provoke: () => keysOf({ users: ["1"] }, { users: ["2"] }),
    message: keysRefused(
      'etcd.users: "1" was removed, but pod apisix-0 is signed in to etcd as it. Put it back (["2", "1"]), run pulumi up, then drop it.',
    ),
  },
  {
    input: "a key that leaves the keyring while an object needs it",
    provoke: async () => {
      await create("ssls", ssl(common({ sealedBy: sealOf("1", "a key") })), cluster);
      return beside("routes", "legacy", { uri: "/", plugins: { csrf: { key: "secret" } }, upstream: nowhere }, () =>
        keysOf({ keyring: ["2", "1"] }, { keyring: ["2"] }),
      );
    },
    message: keysRefused(
      'apisix.keyring: "1" was removed, but objects in the gateway are sealed with it, or may be: ssls/site of mtls/dev/hello, routes/legacy without an owner. ' +
        'Put it back: ["2", "1"]. To reseal an object, run pulumi up in the stack that owns it; PUT one without an owner again, with the output admin.sealedBy as its label mtls-everywhere.sealed. Then drop the key.',
    ),
  },
  {
    input: "keys of a gateway whose pods may not be listed",
    provoke: () => withAnswer("namespaces/mtls/pods", 403, () => inStackWith(undefined, () => keyCheck({}))),
    message:
      "Cannot tell whether the gateway's keys may be changed: The kubeconfig's user may not read Pods mtls/app=apisix: grant it \"list\" on that object.\nNothing was changed.",
  },
  {
    input: "a Secret that is missing",
    provoke: made("ssls", () => ssl({ certificate: { namespace: "mtls", name: "gone" } })),
    message: `Secret mtls/gone does not exist. ${issued("gone")}`,
  },
  {
    input: "a namespace that is gone",
    provoke: () => {
      const certificate = { namespace: "elsewhere", name: "site" };
      const asked = made("ssls", () => ssl({ certificate }));
      return withAnswer("namespaces/elsewhere/secrets/site", 403, asked);
    },
    message: "Namespace elsewhere does not exist. Run pulumi up --refresh in the stack that owns it.",
  },
  {
    input: "a Secret that was emptied",
    provoke: () =>
      withAnswer(
        "namespaces/mtls/secrets/emptied",
        {},
        made("ssls", () => ssl({ certificate: { namespace: "mtls", name: "emptied" } })),
      ),
    message: `Secret mtls/emptied has no "tls.crt". ${issued("emptied")}`,
  },
  {
    input: "a trust bundle that is missing",
    provoke: made("ssls", () => ssl({ clients: { trust: { namespace: "mtls", name: "gone", key: "ca.crt" } } })),
    message: "ConfigMap mtls/gone does not exist. Run pulumi up --refresh in the stack that owns it.",
  },
  {
    input: "a trust bundle without the entry",
    provoke: made("ssls", () => ssl({ clients: { trust: { namespace: "mtls", name: "edge", key: "roots.pem" } } })),
    message: 'ConfigMap mtls/edge has no entry "roots.pem". Run pulumi up --refresh in the stack that owns it.',
  },
  {
    input: "no APISIX pod that is ready",
    provoke: () =>
      said(() =>
        new Cluster({ kubeconfig: api.kubeconfig }).open({ namespace: "mtls", selector: "app=apisix", port: 9180 }),
      ),
    message:
      "No ready pod matches app=apisix in namespace mtls (0 found). Check: kubectl -n mtls get pods -l app=apisix",
  },
  // Certificates
  {
    input: "a certificate that has expired",
    provoke: certified("expired", () => site(-1_000)),
    message: `Secret mtls/expired: The certificate of "CN=site" expired at TIME. ${certificateRemedy}`,
  },
  {
    input: "an SNI that the certificate lacks",
    provoke: checked("ssls", () => ssl({ snis: ["site.example", "shop.example"] })),
    message: `Secret mtls/site: The certificate does not cover "shop.example": it is for site.example. ${certificateRemedy}`,
  },
  {
    input: "an SNI that the certificate is not declared with",
    provoke: checked("ssls", () =>
      ssl({
        certificate: { namespace: "mtls", name: "site", dnsNames: ["site.example"] },
        snis: ["site.example", "shop.example"],
      }),
    ),
    message:
      "The Certificate of Secret mtls/site does not declare shop.example. Add it to the Certificate's dnsNames, or remove it from snis.",
  },
  {
    input: "a key that is not the certificate's",
    provoke: certified("mixed", async () => ({ cert: (await site()).cert, key: (await site()).key })),
    message: `Secret mtls/mixed: The private key does not belong to the certificate of "CN=site". ${certificateRemedy}`,
  },
  {
    input: "an encrypted key",
    provoke: certified("locked", async () => {
      const { cert, key } = await site();
      const cipher = { cipher: "aes-256-cbc", passphrase: "secret" };
      return { cert, key: String(createPrivateKey(key).export({ type: "pkcs8", format: "pem", ...cipher })) };
    }),
    message:
      "Secret mtls/locked: The private key is encrypted, and the gateway has no passphrase for it. Correct the Certificate that issues it, or name another Secret.",
  },
  {
    input: "a chain in the wrong order",
    provoke: certified("upside-down", async () => {
      const { cert, key } = await site();
      return { cert: `${edge.root}\n${cert}`, key };
    }),
    message:
      'Secret mtls/upside-down: The chain is in the wrong order: "CN=site" must come first, then its issuers. Correct the Certificate that issues it, or name another Secret.',
  },
  {
    input: "a Secret with something else than a certificate",
    provoke: certified("text", async () => ({ cert: "hello", key: (await site()).key })),
    message: `Secret mtls/text: The PEM text contains no certificate. ${certificateRemedy}`,
  },
  {
    input: "a trust bundle with an expired root",
    provoke: async () => {
      api.configMap("mtls", "old-roots", { "ca.crt": edge.root + (await expiredRoot("old root")) });
      return checked("ssls", () =>
        ssl({ clients: { trust: { namespace: "mtls", name: "old-roots", key: "ca.crt" } } }),
      )();
    },
    message:
      'ConfigMap mtls/old-roots: The certificate of "CN=old root" expired at TIME. Remove it from the bundle, or name another ConfigMap.',
  },
  {
    input: "a trust bundle with a leaf in it",
    provoke: async () => {
      api.configMap("mtls", "leaves", { "ca.crt": (await site()).cert });
      return checked("ssls", () => ssl({ clients: { trust: { namespace: "mtls", name: "leaves", key: "ca.crt" } } }))();
    },
    message:
      'ConfigMap mtls/leaves: "CN=site" is not a certificate authority. Remove it from the bundle, or name another ConfigMap.',
  },
  // The way to the Admin API
  {
    input: "an admin key of digits alone",
    provoke: adminKey("31415926535897932384"),
    message: `The Admin API key in Secret mtls/another-key, entry "key", reads as a number, and APISIX would answer 401 to everyone. ${keyRemedy}`,
  },
  {
    input: "an admin key without letters",
    provoke: adminKey("3141-5926-5358"),
    message: `The Admin API key in Secret mtls/another-key, entry "key", reads as a number, and APISIX would answer 401 to everyone. ${keyRemedy}`,
  },
  {
    input: "an admin key with a line break at its end",
    provoke: adminKey("a-key\n"),
    message: `The Admin API key in Secret mtls/another-key, entry "key", contains a space, a line break or a non-ASCII character, which no header can carry. ${keyRemedy}`,
  },
  {
    input: "another admin key than the gateway's",
    provoke: adminKey("another-key"),
    message:
      "upstreams/hello: failed to check token: wrong apikey (HTTP 401). The Secret in admin.key does not hold the key that the gateway uses.",
  },
  {
    input: "an expired admin certificate",
    provoke: async () => {
      const { cert, key } = await admin.leaf({ subject: "CN=deployer", usages: ["client auth"], lifetime: -1_000 });
      return asClient("old-deployer", cert, key);
    },
    message:
      'The client certificate in Secret mtls/old-deployer cannot be used. The certificate of "CN=deployer" expired at TIME. Check why cert-manager did not renew it: kubectl -n mtls describe certificate old-deployer',
  },
  {
    input: "a client certificate of another plane",
    provoke: async () => {
      const { cert, key } = await edge.leaf({ subject: "CN=curl", usages: ["client auth"] });
      return asClient("curl", cert, key);
    },
    message:
      "upstreams/hello: the Admin API refused the client certificate (HTTP 400). It comes from another authority, has expired, or is not for client authentication. Check that the Secret in admin.certificate was issued by the admin plane.",
  },
  {
    input: "the trust bundle of another plane",
    provoke: () => {
      const trust = { namespace: "mtls", name: "edge", key: "ca.crt" };
      return said(() => create("upstreams", upstream({}, { trust }), freshCluster()));
    },
    message:
      "The certificate on port PORT of pods app=apisix in namespace mtls does not chain to a root in ConfigMap mtls/edge: another server answers there, or its authority has changed. Run pulumi up to bring bundle and server in line.",
  },
  {
    input: "another server name than the certificate's",
    provoke: () => said(() => create("upstreams", upstream({}, { serverName: "gateway" }), freshCluster())),
    message:
      'The certificate on port PORT of pods app=apisix in namespace mtls is not for "gateway": another server answers there.',
  },
  {
    input: "a port where nobody listens",
    provoke: () => said(() => create("upstreams", upstream({}, { port: 1 }), freshCluster())),
    message: `GET upstreams/hello did not succeed within 3 s. The last failure: the connection was refused (connect ECONNREFUSED 127.0.0.1:1). ${advice}`,
  },
  {
    input: "a gateway that is gone",
    provoke: withoutMaker(() => said(() => create("upstreams", upstream({}, { port: 1 }), freshCluster()))),
    message:
      "There is no Deployment or StatefulSet app=apisix in namespace mtls. Run pulumi up --refresh in the stack that owns it.",
  },
  {
    input: "a Service of the gateway's etcd that is gone",
    provoke: withMaker(() => {
      const keptIn = { ...apisix.etcd.endpoint, services: ["etcd"] };
      return said(() => create("upstreams", upstream({}, { port: 1, keptIn }), freshCluster()));
    }),
    message: "Service mtls/etcd does not exist. Run pulumi up --refresh in the stack that owns it.",
  },
  {
    input: "an etcd that has lost what it held",
    provoke: () => {
      const keptIn = { ...apisix.etcd.endpoint, services: [] };
      return said(() => create("upstreams", upstream({}, { port: 1, keptIn }), memory));
    },
    message:
      "The etcd of pods app=etcd in namespace mtls has lost everything that it held, including its users. Run pulumi up --refresh in the stack that owns it.",
  },
  {
    input: "another root password than etcd's",
    provoke: async () => wrongEtcdPassword(),
    message:
      "etcd auth/authenticate: etcdserver: authentication failed, invalid user ID or password (HTTP 400). etcd's root password differs from the one in the Secret that root names: put the old one back, change it with `etcdctl user passwd root`, then in the Secret.",
  },
  // Objects in the gateway
  {
    input: "an id that is none",
    provoke: checked("upstreams", () => upstream({ objectId: "my route" })),
    message:
      '"my route" is not a valid id: use at most 64 letters, digits, "-", "_" and ".". Set id when the resource\'s name is not valid.',
  },
  {
    input: "an object for no Admin API",
    provoke: checked("upstreams", () => ({ ...upstream(), admin: undefined })),
    message: "Pass the Admin API to create the object in: the platform's admin.",
  },
  {
    input: "a kind that only a newer release has",
    provoke: () => said(() => check(String("consumers") as KindName, upstream(), cluster)),
    message:
      'This release of mtls-everywhere has no resources of kind "consumers". Use the release that last updated the stack.',
  },
  {
    input: "an unknown balancer",
    provoke: checked("upstreams", () => upstream({ balancer: "random" })),
    message: '"random" is not a valid value: use one of roundrobin, least_conn, ewma.',
  },
  {
    input: "an upstream without nodes",
    provoke: checked("upstreams", () => upstream({ nodes: [] })),
    message: "An upstream without nodes answers every request with 503: give at least one.",
  },
  {
    input: "a bad port",
    provoke: checked("upstreams", () => upstream({ nodes: [{ host: "hello.mtls.svc", port: 70_000 }] })),
    message: "A port must be from 1 to 65535, not 70000.",
  },
  {
    input: "a URL for a server name",
    provoke: checked("upstreams", () => upstream({ serverName: "https://hello.example" })),
    message: '"https://hello.example" is not a host name: give the name alone, without scheme, port or path.',
  },
  {
    input: "an address for a server name",
    provoke: checked("upstreams", () => upstream({ serverName: "10.10.10.1" })),
    message:
      '"10.10.10.1" is an IP address, and the gateway verifies names only. Give a name from the server\'s certificate.',
  },
  {
    input: "a name with the root's dot",
    provoke: checked("upstreams", () => upstream({ serverName: "hello.mtls.svc." })),
    message: '"hello.mtls.svc." ends with a dot, and certificates have none: write "hello.mtls.svc".',
  },
  {
    input: "an address for an SNI",
    provoke: checked("ssls", () => ssl({ snis: ["10.0.0.5"] })),
    message: '"10.0.0.5" is an IP address, and clients send no server name for one. Give a host name.',
  },
  {
    input: "a number out of bounds",
    provoke: checked("upstreams", () => upstream({ retries: -1 })),
    message: "This must be a whole number of at least 0, not -1.",
  },
  {
    input: "seconds with a unit",
    provoke: checked("upstreams", () => upstream({ retryTimeout: "1s" })),
    message: 'Give seconds as a number of at least 0, not "1s".',
  },
  {
    input: "a misspelt field",
    provoke: checked("upstreams", () => upstream({ keepAlivePool: { sise: 5 } })),
    message: '"sise" is not a known field: use size, idleTimeout, requests.',
  },
  {
    input: "something else than an object",
    provoke: checked("upstreams", () => upstream({ keepAlivePool: 5 })),
    message: "This must be an object with size, idleTimeout, requests.",
  },
  {
    input: "an upstream on the internet",
    provoke: checked("upstreams", () => upstream({ nodes: [{ host: "api.shop.com", port: 443 }] })),
    message:
      '"api.shop.com" is a server on the internet: the gateway trusts only certificates of the upstream plane, so every request would be answered with 502. Reach it through an EgressProxy, which verifies it against its own authorities; a Service\'s own name is written with ".svc".',
  },
  {
    input: "a client certificate without TLS",
    provoke: checked("upstreams", () => upstream({ scheme: "http", clientCertificate: "caller" })),
    message: "A client certificate needs TLS: use the scheme https.",
  },
  {
    input: "a route without hosts",
    provoke: checked("routes", () => route({ hosts: [] })),
    message: "Name the hosts: without them the route could be reached under another host's client policy.",
  },
  {
    input: "a path without its slash",
    provoke: checked("routes", () => route({ uris: ["hello"] })),
    message: 'A path must start with "/", unlike "hello".',
  },
  {
    input: "a condition that is none",
    provoke: checked("routes", () => route({ vars: [["arg_name", "value"]] })),
    message: 'A condition must be a list of variable, operator and value, such as ["arg_name", "==", "value"].',
  },
  {
    input: "a condition with an unknown operator",
    provoke: checked("routes", () => route({ vars: [["arg_name", "=", "value"]] })),
    message:
      '"=" is not an operator: use one of ==, ~=, >, >=, <, <=, ~~, ~*, in, has, ipmatch, or "!" and one of them.',
  },
  {
    input: "plugins in a list",
    provoke: checked("routes", () => route({ plugins: ["echo"] })),
    message: "Plugins are given by name, each with its configuration.",
  },
  {
    input: "a path with parameters",
    provoke: checked("routes", () => route({ uris: ["/users/:id"] })),
    message:
      '"/users/:id" never matches: paths have no parameters, and "*" works only at the end. Use "/users/*" with vars: [["uri","~~","^/users/[^/]+$"]].',
  },
  {
    input: "a path with a query",
    provoke: checked("routes", () => route({ uris: ["/search?q=1"] })),
    message:
      '"/search?q=1" never matches: paths are compared without "?" or "#" and what follows. Use "/search" with vars: [["arg_q","==","1"]].',
  },
  {
    input: "a path with a character that is sent encoded",
    provoke: checked("routes", () => route({ uris: ["/a b"] })),
    message:
      '"/a b" contains a character that requests carry percent-encoded, so it may not match. Use "/a*" with vars: [["request_uri","~~","^/a%20b(\\\\?|$)"]].',
  },
  {
    input: "a path with an empty segment",
    provoke: checked("routes", () => route({ uris: ["/a//b"] })),
    message: '"/a//b" never matches: paths are compared without "//", "." and "..". Use "/a/b".',
  },
  {
    input: "a path that another route of the host takes",
    provoke: async () => {
      const at = freshCluster();
      await check("routes", { ...route({ objectId: "shop" }), owner: "shop/prod/shop" }, at);
      return heard(() => check("routes", route(), at));
    },
    message:
      'warning: routes/hello: "/*" of site.example is also taken by routes/shop of shop/prod/shop, and which of the two answers is up to chance. Unless that one is being removed, give them different paths, methods, vars or priorities.',
  },
  {
    input: "a certificate that does not say whom it lets in",
    provoke: checked("ssls", () => ssl({ clients: undefined })),
    message: 'Say whose client certificates are accepted with { trust }, or "anyone" to ask for none.',
  },
  {
    input: "a site that does not say who may call it",
    provoke: async () => said(async () => checkCallers("shop", { allow: undefined, routes: {} })),
    message:
      'Site "shop": say who may call it. Set allow to a list of clients by their Kubernetes names, such as [{ namespace: "web", serviceAccount: "cart" }], or to "every client" for all whose certificate it accepts.',
  },
  {
    input: "a route of a site for a client that no leaf can name",
    provoke: async () => {
      const allow = [{ namespace: "web", serviceAccount: "cart,OU=admin" }];
      return said(async () => checkCallers("shop", { allow: [], routes: { orders: { allow } } }));
    },
    message:
      'Site "shop", route "orders": say who may call it. Set allow to a list of clients by their Kubernetes names, such as [{ namespace: "web", serviceAccount: "cart" }], or to "every client" for all whose certificate it accepts.',
  },
  {
    input: "a site for clients with certificates, on a host that is served without TLS",
    provoke: async () =>
      said(async () => checkPlain("shop", { host: "foo.example", gateway: { plainHosts: ["foo.example"] } })),
    message:
      'Site "shop": the gateway serves foo.example without TLS too, where nobody shows a certificate. Take it off gateway.plainHttp.serve, or set clients to "anyone".',
  },
  {
    input: "a certificate for a host that the platform gives to nobody, or to somebody else",
    provoke: async () =>
      said(async () => {
        const authority = { hosts: [{ namespace: "web", host: "shop.example.com" }] };
        checkHosts("shop", { authority, namespace: "shop", dnsNames: ["shop.example.com"] });
      }),
    message:
      'Certificate "shop": the platform\'s edge plane signs none for shop.example.com in namespace shop. Have "shop/shop.example.com" added to the platform\'s gateway.hosts, and its stack updated, first.',
  },
  {
    input: "a list of clients for a site that asks nobody for a certificate",
    provoke: async () => said(async () => checkCallers("shop", { allow: [], clients: "anyone", routes: {} })),
    message:
      'Site "shop": its clients cannot be told apart, since they present no certificate while clients is "anyone". Set allow to "every client", or clients to the trust bundle that their certificates chain to.',
  },
  {
    input: "an upstream's callers that no leaf can name",
    provoke: async () => {
      const allow = [{ namespace: "web", serviceAccount: 'cart" 1; default 1; "' }];
      return said(async () => checkCallerList('NginxUpstream "shop"', allow));
    },
    message:
      'NginxUpstream "shop": its callers are not a list of clients. Set allow to their Kubernetes names, such as [{ namespace: "web", serviceAccount: "cart" }], or leave it out for nobody but the gateway.',
  },
  {
    input: "a route to an upstream that is not there",
    provoke: made("routes", () => route({ upstream: "nowhere" })),
    message:
      "routes/hello: failed to fetch upstream info by upstream id [nowhere], response code: 404 (HTTP 400). Create the object that it refers to first, and pass its id as an output.",
  },
  {
    input: "an object made by hand",
    provoke: () =>
      beside("upstreams", "hello", { type: "roundrobin", nodes: { "hello:1": 1 } }, made("upstreams", upstream)),
    message:
      "upstreams/hello already exists and was created by hand or by another tool. Choose another id, or set adopt: true to take it over.",
  },
  {
    input: "an object owned by someone else",
    provoke: () => {
      const labels = { "mtls-everywhere.owner": "shop/prod/hello" };
      return beside(
        "upstreams",
        "hello",
        { type: "roundrobin", nodes: { "hello:1": 1 }, labels },
        made("upstreams", upstream),
      );
    },
    message:
      "upstreams/hello already exists and belongs to shop/prod/hello. Choose another id, or set adopt: true to take it over.",
  },
  {
    input: "a host that another stack's certificate serves",
    provoke: async () => {
      const theirs = { ...ssl({ objectId: "shop-site" }), owner: "shop/prod/site" };
      const { id, outs } = await create("ssls", theirs, cluster);
      const words = await checked("ssls", () => ssl())();
      await remove("ssls", id, outs, cluster);
      return words;
    },
    message:
      'ssls/site: "site.example" is already served by ssls/shop-site of shop/prod/site. Remove the name from one of them: APISIX would serve either.',
  },
  {
    input: "deleting an upstream that a route uses",
    provoke: async () => {
      const { id, outs } = await create("upstreams", upstream(), cluster);
      return beside("routes", "shop", { uri: "/", upstream_id: "hello" }, () =>
        said(() => remove("upstreams", id, outs, cluster)),
      );
    },
    message:
      "upstreams/hello: can not delete this upstream, route [shop] is still using it now (HTTP 400). Delete that one first, or let it use another.",
  },
  {
    input: "deleting a certificate that an upstream presents",
    provoke: async () => {
      const caller = ssl({ objectId: "caller", use: "client", snis: undefined, clients: undefined });
      const { id, outs } = await create("ssls", caller, cluster);
      const shop = { type: "roundrobin", nodes: { "hello:1": 1 }, tls: { client_cert_id: "caller" } };
      return beside("upstreams", "shop", shop, () => said(() => remove("ssls", id, outs, cluster)));
    },
    message:
      "ssls/caller: is still presented by upstreams/shop (HTTP 400). Give them another client certificate, or delete them first.",
  },
  {
    input: "a client certificate of another kind than the gateway's own",
    provoke: async () => {
      const caller = ssl({ objectId: "other", use: "client", snis: undefined, clients: undefined });
      await create("ssls", caller, cluster);
      const inputs = upstream({ clientCertificate: "other" }, { presents: "RSA" });
      return said(() => create("upstreams", inputs, cluster));
    },
    message:
      "upstreams/hello: the key of ssls/other is ECDSA, but that of the gateway's own client certificate is RSA. Issue the client certificate with RSA, or name none.",
  },
  // The stack's state
  {
    input: "a state that is locked",
    provoke: recovered(clusterUid, [], 'echo "error: the stack is currently locked by 1 lock(s)." >&2; exit 1', [{}]),
    message:
      "The state of stack dev is locked: an update is running, or one was killed and left its lock behind. Nothing was changed. If none is running on any machine, run pulumi cancel -s dev, then this command again.",
  },
  {
    input: "a cluster to forget that still answers",
    provoke: recovered(clusterUid, ["--forget-cluster", "--yes"], "exit 1"),
    message:
      'Cluster 00000000-0000-4000-8000-000000000001, where stack dev lives, still answers in kubeconfig context "here". Nothing was changed. To work there: pulumi config set kubernetes:context here. To take the platform down: pulumi destroy.',
  },
  // Stack outputs
  {
    input: "outputs of a stack that is not up",
    // Everything missing has a line; two show the form.
    provoke: async () =>
      (await outputs({})())
        .split("\n")
        .filter((line, at, all) => line.includes("trustDomain") || at === all.length - 1)
        .join("\n"),
    message: 'stack output "trustDomain" is missing\nRun `pulumi up -s dev` first.',
  },
  {
    input: "outputs of another release",
    provoke: outputs({ contract: contractVersions[0] + 1 }),
    message: `The outputs of stack dev are version ${contractVersions[0] + 1}, but this program reads version ${contractVersions.join(" or ")}. Use the release of mtls-everywhere that deployed the platform.`,
  },
  {
    input: "outputs of a gateway of release 0.1, for a consumer",
    provoke: () => {
      const { identities: _since, ...caller } = platform.caller;
      return said(async () => refuseOldGateway({ ...platform, caller }, "dev"));
    },
    message:
      "The gateway of stack dev runs release 0.1, which presents its certificate only to upstreams that name it. Run `pulumi up -s dev` with this release first.",
  },
  // verify's reports
  {
    input: "a report in an unknown form",
    provoke: () => said(() => reportFiles(["out.json", "out.pdf"])),
    message: "--report out.pdf: the name must end in .html (a page), .xml (JUnit) or .json. Nothing was checked.",
  },
  {
    input: "a report in a folder that does not exist",
    provoke: () => said(() => reportFiles(["reports/out.xml"])),
    message: "--report reports/out.xml: there is no folder reports. Create it first. Nothing was checked.",
  },
];

let admin: Authority;

describe("wrong inputs", function () {
  this.timeout(30_000);

  before(async function () {
    admin = await Authority.create("admin");
    edge = await Authority.create("edge");
    newer = await Authority.create("newer");
    apisix = await startApisix(memory, admin, () => this.skip());
    api = await KubernetesApi.start(clusterUid);
    const { cert, key } = await site();
    memory.leaf("site", { cert, key });
    memory.trust("edge", edge.root);
    for (const [name, entries] of memory.secrets) api.secret(...split(name), entries);
    for (const [name, entries] of memory.configMaps) api.configMap(...split(name), entries);
    cluster = freshCluster();
  });

  after(async () => {
    for (const each of [...clusters, memory]) await closeSessions(each).catch(() => {});
    await api?.stop();
    await apisix?.stop();
    rmSync(folder, { recursive: true });
  });

  for (const { input, message, provoke } of rows) {
    it(`are refused in words: ${input}`, async () => {
      equal(normal(await provoke()), message);
      const client = await adminClient(memory, apisix.endpoint);
      for (const kind of ["routes", "upstreams", "ssls"] as const) {
        for (const { id } of await client.list(kind)) await client.delete(kind, String(id));
      }
    });
  }

  it("are reported at preview too if an admin key can never work", async () => {
    api.secret("mtls", "digits", { key: "123456" });
    const inputs = upstream({}, { key: { namespace: "mtls", name: "digits", key: "key" } });
    const { failures } = await check("upstreams", inputs, freshCluster());
    same(
      failures.map(({ property, reason }) => [property, reason.includes("reads as a number")]),
      [["admin", true]],
    );
  });

  it("an emptied Secret shows as a difference first", async () => {
    const { id, outs } = await create("ssls", ssl(), cluster);
    const said = await withAnswer("namespaces/mtls/secrets/site", {}, () =>
      heard(async () => equal((await diff("ssls", id, outs, ssl(), cluster)).changes, true)),
    );
    equal(said, `ssls/site: Secret mtls/site has no "tls.crt". ${issued("site")}`);
  });

  it("have each message, and no other, explained in docs/errors.md", () => {
    const text = readFileSync(new URL("../docs/errors.md", import.meta.url), "utf8");
    const explained = [...text.matchAll(/^```text\n([\s\S]+?)\n```$/gm)].map((match) => match[1]!);
    const wanted = [...new Set(rows.map(({ message }) => message))];
    same(
      wanted.filter((message) => !explained.includes(message)),
      [],
      "messages that docs/errors.md lacks",
    );
    same(
      explained.filter((message) => !wanted.includes(message)),
      [],
      "messages that no longer exist",
    );
    ok(rows.length > 40);
  });
});

/** The message of what fails. */
async function said(act: () => Promise<unknown>): Promise<string> {
  try {
    await act();
  } catch (error) {
    return (error as Error).message;
  }
  return "It was accepted.";
}

/** What is printed meanwhile, line by line. */
async function heard(act: () => Promise<unknown>): Promise<string> {
  const { log, warn } = console;
  const lines: string[] = [];
  console.log = console.warn = (line: string) => lines.push(line);
  try {
    await act();
  } finally {
    Object.assign(console, { log, warn });
  }
  return lines.join("\n");
}

/** Masks times and ports, which differ from run to run. */
function normal(message: string): string {
  return message.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME").replace(`port ${apisix.endpoint.port} `, "port PORT ");
}

/** Without a session, so that keys and certificates are read again. */
function freshCluster(): LoopbackCluster {
  const fresh = new LoopbackCluster({ kubeconfig: api.kubeconfig });
  clusters.push(fresh);
  return fresh;
}

async function withAnswer(path: string, answer: object | number, act: () => Promise<string>): Promise<string> {
  const before = api.answers.get(path);
  api.answers.set(path, answer);
  try {
    return await act();
  } finally {
    if (before === undefined) api.answers.delete(path);
    else api.answers.set(path, before);
  }
}

/** Acts in a cluster with these Deployments, and no StatefulSet. */
function withDeployments(items: readonly object[], act: () => Promise<string>): () => Promise<string> {
  const path = (kind: string) => `/apis/apps/v1/namespaces/mtls/${kind}`;
  return () => withAnswer(path("deployments"), { items }, () => withAnswer(path("statefulsets"), { items: [] }, act));
}

function withMaker(act: () => Promise<string>): () => Promise<string> {
  return withDeployments(
    ["apisix", "etcd"].map((app) => ({ metadata: { name: app, labels: { app } } })),
    act,
  );
}

function withoutMaker(act: () => Promise<string>): () => Promise<string> {
  return withDeployments([], act);
}

/** Does something while another tool's object is in the gateway. */
async function beside(kind: KindName, id: string, body: object, act: () => Promise<string>): Promise<string> {
  const client = await adminClient(memory, apisix.endpoint);
  await client.put(kind, id, body as Props);
  try {
    return await act();
  } finally {
    await client.delete(kind, id);
  }
}

/** What the program says in a stack whose state remembers this value. */
async function inStackWith(first: unknown, act: () => Promise<unknown>, outputs: object = {}): Promise<string> {
  const newResource = ({ inputs }: pulumi.runtime.MockResourceArgs) => ({
    id: "it",
    state: { ...(inputs as object), output: first },
  });
  await pulumi.runtime.setMocks(
    { newResource, call: () => ({ outputs }) },
    "mtls-everywhere",
    "dev",
    false,
    "organization",
  );
  pulumi.runtime.setAllConfig({ "kubernetes:kubeconfig": api.kubeconfig });
  return said(act);
}

/** What the program says to these keys while a pod that is not ready runs with others. */
function keysOf(running: Partial<KeyNames>, wanted: Partial<KeyNames>): Promise<string> {
  const annotations = startedWithKeys({ ...firstKeys, ...running });
  const pod = { metadata: { name: "apisix-0", labels: { app: "apisix" }, annotations } };
  return withAnswer("namespaces/mtls/pods", { items: [pod] }, () => inStackWith(undefined, () => keyCheck(wanted)));
}

/** What the program says to this etcd while another one runs. */
function etcdOf({ replicas, storage, storageClass }: StoreShape, wanted: StoreShape): Promise<string> {
  const claim = {
    spec: { resources: { requests: { storage } }, ...(storageClass ? { storageClassName: storageClass } : {}) },
  };
  const set = { spec: { replicas, volumeClaimTemplates: [claim] }, status: { readyReplicas: replicas } };
  return withAnswer("/apis/apps/v1/namespaces/mtls/statefulsets/etcd", set, () =>
    inStackWith(undefined, () => checkStore("etcd", freshCluster(), { ...wanted, namespace: "mtls" })),
  );
}

function keyCheck(wanted: Partial<KeyNames>): Promise<void> {
  const admin = () => apisix.endpoint;
  return checkKeys({ cluster: freshCluster(), wanted: { ...firstKeys, ...wanted }, admin });
}

function asClient(name: string, cert: string, key: string): Promise<string> {
  api.secret("mtls", name, { "tls.crt": cert, "tls.key": key });
  return said(() => create("upstreams", upstream({}, { certificate: { namespace: "mtls", name } }), freshCluster()));
}

async function wrongEtcdPassword(): Promise<string> {
  const own = new MemoryCluster();
  const etcd = await startEtcd(own, await Authority.create("etcd"), () => {
    throw new Error("There is no etcd.");
  });
  try {
    const inputs = { etcd: etcd.endpoint, root: own.secret("root", "password", "first"), users: [] };
    await create("etcdAuth", inputs, own);
    own.secret("root", "password", "second");
    return await said(() => create("etcdAuth", inputs, own));
  } finally {
    await etcd.stop();
  }
}

async function expiredRoot(name: string): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys: await webcrypto.subtle.generateKey(algorithm, false, ["sign", "verify"]),
    signingAlgorithm: algorithm,
    notBefore: new Date("2020-01-01T00:00:00Z"),
    notAfter: new Date("2021-01-01T00:00:00Z"),
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  return certificate.toString("pem");
}

function split(name: string): [string, string] {
  const [namespace = "", rest = ""] = name.split("/");
  return [namespace, rest];
}
