// The platform's users in a real cluster, each with their own rights and no more: an administrator who sets up the cluster, a
// deployer, a previewer, and a team that puts its own service behind the gateway.

import { deepEqual, equal, match, rejects } from "node:assert/strict";

import { AuthorizationV1Api, CoreV1Api, KubeConfig } from "@kubernetes/client-node";
import { Cluster } from "@mtls-everywhere/cluster-access/cluster";

import { parseOutputs, type PlatformOutputs } from "../../outputs.ts";
import { ask } from "../../tools/verify/http.ts";
import { readUrn } from "../../urn.ts";
import { type Config, LabStacks, type Stack } from "./labStacks.ts";

describe("the platform's users", function () {
  this.timeout(300_000);
  this.bail(true);

  let lab: LabStacks;
  let platform: Stack;
  let deployer: string;
  let previewer: string;
  let settings: Config;

  before(async function () {
    this.timeout(30 * 60_000); // with an empty cache, everything is built first
    // The lab refuses to start anywhere else.
    if (process.platform !== "linux" || process.getuid?.() !== 0) this.skip();
    lab = await LabStacks.start();
    deployer = await lab.createUser("deployer");
    previewer = await lab.createUser("previewer");
    const chart = lab.platformConfig["mtls-everywhere:certManager"] as Config;
    settings = {
      ...lab.platformConfig,
      "mtls-everywhere:createNamespace": false,
      "mtls-everywhere:etcd": { keepData: true },
      "mtls-everywhere:certManager": { ...chart, install: false },
    };
    const subject = (name: string) => [{ kind: "ServiceAccount", name, namespace: "users" }];
    const setup = await lab.stack("tools/roles", {
      "mtls-cluster-setup:certManager": chart,
      "mtls-cluster-setup:deployers": subject("deployer"),
      "mtls-cluster-setup:previewers": subject("previewer"),
    });
    await setup.up(lab.kubeconfig);
    platform = await lab.stack(".", settings);
  });

  after(() => lab?.stop());

  /** Runs as a user. */
  const as = async <T>(user: string, run: (kubeconfig: string) => Promise<T>): Promise<T> => {
    await lab.become(user);
    return run(lab.userKubeconfig);
  };

  it("are told of all conflicts with the cluster in one message, with how to resolve each (case 9)", async () => {
    await platform.configure(lab.platformConfig);
    await rejects(platform.preview(lab.kubeconfig), (error: Error) => {
      match(error.message, /Namespace mtls already exists: set createNamespace: false to use it/);
      match(
        error.message,
        /cert-manager v[\d.]+ already runs in namespace cert-manager: set certManager: \{ install: false, namespace: cert-manager \}/,
      );
      return true;
    });
    await platform.configure(settings);
  });

  it("let a deployer bring the platform up, and check every hop", async () => {
    await as(deployer, (kubeconfig) => platform.up(kubeconfig));
    match(
      await as(deployer, (kubeconfig) => lab.node(kubeconfig, "tools/verify/cli.ts", "--stack", "dev")),
      /all right/,
    );
  });

  it("let a previewer see that nothing would change, nor break a policy", async () => {
    await as(previewer, (kubeconfig) => platform.preview(kubeconfig, "--expect-no-changes"));
    await as(previewer, (kubeconfig) => platform.preview(kubeconfig, "--expect-no-changes", "--refresh"));
    await as(previewer, (kubeconfig) => platform.preview(kubeconfig, "--expect-no-changes", "--policy-pack", "policy"));
  });

  it("let a previewer see what would change, though the API server refuses them even a dry run", async () => {
    await platform.configure({
      ...settings,
      "mtls-everywhere:gateway": { host: "upstream", clients: ["curl", "shop"] },
      "mtls-everywhere:upstream": {
        ...(settings["mtls-everywhere:upstream"] as Config),
        files: { "index.json": '{ "hello": "all" }' },
      },
    });
    const preview = JSON.parse(await as(previewer, (kubeconfig) => platform.preview(kubeconfig, "--json"))) as Preview;
    await platform.configure(settings);
    const changes = preview.steps.filter(({ op }) => op !== "same" && op !== "read");
    deepEqual(changes.map(({ op, urn }) => `${op} ${readUrn(urn).name}`).sort(), [
      "create client-shop",
      "create client-shop",
      // The list of whom it answers.
      "update hello",
      "update upstream-files",
    ]);
  });

  it("refuse a previewer's up", async () => {
    await platform.configure({
      ...settings,
      "mtls-everywhere:gateway": { host: "upstream", clients: ["curl", "shop"] },
    });
    await rejects(
      as(previewer, (kubeconfig) => platform.up(kubeconfig)),
      /certificates.cert-manager.io is forbidden/,
    );
    await platform.configure(settings);
    const secret = { namespace: "mtls", name: "client-shop" };
    await rejects(apiOf(deployer).makeApiClient(CoreV1Api).readNamespacedSecret(secret), { code: 404 });
    // The refused run left the component's name in the state.
    await as(deployer, (kubeconfig) => platform.up(kubeconfig));
  });

  it("hold their own rights and no more", async () => {
    deepEqual(
      await refusedOf(deployer, [
        ["get", "secrets", "mtls"],
        ["create", "deployments.apps", "mtls"],
        ["get", "secrets", "cert-manager", "mtls-edge-root"],
        ["get", "secrets", "cert-manager", "cert-manager-webhook-ca"],
        ["list", "secrets", "cert-manager"],
        ["get", "secrets", "kube-system"],
        ["get", "secrets", "users"],
        ["create", "pods", "mtls"],
        ["create", "pods", "users"],
        ["create", "namespaces", ""],
        ["delete", "namespaces", "", "mtls"],
        ["create", "rolebindings.rbac.authorization.k8s.io", "mtls"],
        ["patch", "roles.rbac.authorization.k8s.io", "mtls", "gateway-renewer"],
        ["patch", "roles.rbac.authorization.k8s.io", "mtls", "mtls-platform-deployer"],
        ["create", "rolebindings.rbac.authorization.k8s.io", "cert-manager"],
        ["get", "endpointslices.discovery.k8s.io", "default", "kubernetes"],
        ["list", "endpointslices.discovery.k8s.io", "default"],
        ["create", "clusterroles.rbac.authorization.k8s.io", ""],
        ["delete", "clusterissuers.cert-manager.io", "", "other-edge"],
      ]),
      [
        "get secrets cert-manager/cert-manager-webhook-ca",
        "list secrets cert-manager/",
        "get secrets kube-system/",
        "get secrets users/",
        "create pods mtls/",
        "create pods users/",
        "create namespaces /",
        "delete namespaces /mtls",
        "patch roles.rbac.authorization.k8s.io mtls/mtls-platform-deployer",
        "create rolebindings.rbac.authorization.k8s.io cert-manager/",
        "list endpointslices.discovery.k8s.io default/",
        "create clusterroles.rbac.authorization.k8s.io /",
        "delete clusterissuers.cert-manager.io /other-edge",
      ],
    );
    deepEqual(
      await refusedOf(previewer, [
        ["get", "secrets", "mtls", "gateway"],
        ["get", "secrets", "mtls", "etcd-server"],
        ["list", "secrets", "mtls"],
        ["get", "secrets", "kube-system"],
        ["get", "configmaps", "mtls"],
        ["get", "configmaps", "users"],
        ["create", "pods", "mtls"],
        ["patch", "deployments.apps", "mtls", "apisix"],
        ["create", "certificates.cert-manager.io", "mtls"],
        ["create", "certificaterequests.cert-manager.io", "mtls"],
      ]),
      [
        "get secrets mtls/etcd-server",
        "list secrets mtls/",
        "get secrets kube-system/",
        "get configmaps users/",
        "create pods mtls/",
        "patch deployments.apps mtls/apisix",
        "create certificates.cert-manager.io mtls/",
        "create certificaterequests.cert-manager.io mtls/",
      ],
    );
    // Actually tried, not just reviewed.
    const client = (user: string) => apiOf(user).makeApiClient(CoreV1Api);
    await rejects(client(deployer).listNamespacedSecret({ namespace: "kube-system" }), { code: 403 });
    const pod = { metadata: { name: "mine" }, spec: { containers: [{ name: "mine", image: "mine" }] } };
    await rejects(client(previewer).createNamespacedPod({ namespace: "mtls", body: pod }), { code: 403 });
  });

  describe("of other teams", () => {
    let shop: Stack;
    let outputs: PlatformOutputs;
    before(async () => {
      outputs = parseOutputs(await platform.outputs(lab.kubeconfig));
      const { image } = lab.platformConfig["mtls-everywhere:upstream"] as { image: string };
      shop = await lab.stack("examples/consumer", { "shop:image": image });
    });

    /** What the gateway answers to the platform's own client. */
    const get = async (path: string) => {
      const cluster = new Cluster({ kubeconfig: lab.kubeconfig });
      const ca = await cluster.trustBundle(outputs.gateway.trust);
      const pair = await cluster.keyPair({ namespace: outputs.namespace, name: "client-curl" });
      const request = { path, headers: { host: outputs.gateway.serverName } };
      const { status, text } = await ask(cluster, outputs.gateway, { ca, pair }, request, AbortSignal.timeout(10_000));
      return { status, text };
    };

    it("can put their own service behind the gateway", async () => {
      equal((await get("/shop.json")).status, 404);
      await shop.up(lab.kubeconfig);
      deepEqual(await get("/shop.json"), { status: 200, text: '{ "shop": "open" }' });
      deepEqual(await get("/"), { status: 200, text: '{ "hello": "world" }' });
    });

    it("can remove it again, and leave the platform as it was", async () => {
      await shop.destroy(lab.kubeconfig);
      equal((await get("/shop.json")).status, 404);
      await as(deployer, (kubeconfig) => platform.preview(kubeconfig, "--expect-no-changes"));
    });

    it("are told if the platform's outputs are missing", async () => {
      await shop.configure({ "shop:platform": "organization/mtls-cluster-setup/dev" });
      await rejects(
        shop.preview(lab.kubeconfig),
        /The platform of stack organization\/mtls-cluster-setup\/dev cannot be used.[^]*stack output "contract" is missing/,
      );
    });
  });

  // Nested, because mocha runs nested suites last.
  describe("at the end", () => {
    it("let a deployer take the platform down", async () => {
      await as(deployer, (kubeconfig) => platform.destroy(kubeconfig));
      const api = apiOf(deployer).makeApiClient(CoreV1Api);
      const { items } = await api.listNamespacedConfigMap({ namespace: "mtls" });
      // Kubernetes itself puts this into every namespace.
      deepEqual(
        items.map(({ metadata }) => metadata?.name),
        ["kube-root-ca.crt"],
      );
      deepEqual((await api.listNamespacedPod({ namespace: "mtls" })).items, []);
    });

    it("are told of the volumes that etcd kept before anything is made, with the command that removes them (case 4)", async () => {
      await rejects(
        as(previewer, (kubeconfig) => platform.preview(kubeconfig)),
        /Namespace mtls still has the volumes of an earlier etcd[^]*: kubectl -n mtls delete pvc data-etcd-0\n/,
      );
      const config = new KubeConfig();
      config.loadFromFile(lab.kubeconfig);
      const claim = { namespace: "mtls", name: "data-etcd-0" };
      await config.makeApiClient(CoreV1Api).deleteNamespacedPersistentVolumeClaim(claim);
      await platform.preview(lab.kubeconfig);
    });
  });

  function apiOf(user: string): KubeConfig {
    const config = new KubeConfig();
    config.loadFromString(user);
    return config;
  }

  /** Which of these rights a user lacks. */
  async function refusedOf(user: string, rights: readonly Right[]): Promise<string[]> {
    const api = apiOf(user).makeApiClient(AuthorizationV1Api);
    const verdicts = await Promise.all(
      rights.map(async ([verb, kind, namespace, name]) => {
        const [resource, ...group] = kind.split(".");
        const resourceAttributes = { verb, resource, group: group.join("."), namespace, name };
        const { status } = await api.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes } } });
        return status?.allowed ? undefined : `${verb} ${kind} ${namespace}/${name ?? ""}`;
      }),
    );
    return verdicts.filter((verdict) => verdict !== undefined);
  }
});

type Right = readonly [verb: string, kind: string, namespace: string, name?: string];

interface Preview {
  readonly steps: readonly { readonly op: string; readonly urn: string }[];
}
