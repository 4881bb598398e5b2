// Refused rotations of roots, for the table of wrong inputs: each with one plane's live state, and the whole message.

import { digestOf } from "../../cluster-access/certificates.ts";
import type { Cluster } from "../../cluster-access/cluster.ts";
import { adminEndpoint } from "../../components/apisix.ts";
import { changeRefusal, type Made } from "../../components/generations.ts";
import { checkRotation } from "../../rotation/check.ts";
import { planes } from "../../vocabulary/planes.ts";
import type { Authority } from "./authorities.ts";
import type { KubernetesApi } from "./kubernetesApi.ts";

/** Where to try them. */
export interface World {
  readonly api: KubernetesApi;
  readonly cluster: Cluster;
  /** Generation 1, and generation 2. */
  readonly roots: readonly Authority[];
}

/** A live state, as far as it is not empty. */
interface State {
  /** Number of generations in the platform's bundle. */
  readonly prepared: 1 | 2;
  readonly bundles?: readonly object[];
  readonly certificates?: readonly object[];
  /** May be a status. */
  readonly pods?: number;
}

const shop = { namespace: "shop", name: "edge-trust", labels: { "mtls-everywhere/trust": "edge" } };
const shopLeaf = {
  metadata: { namespace: "shop", name: "shop" },
  spec: { issuerRef: { name: "mtls-edge", kind: "ClusterIssuer", group: "cert-manager.io" } },
  status: { conditions: [{ type: "Ready", status: "True" }] },
};
const platformLeaf = { ...shopLeaf, metadata: { namespace: "mtls", name: "gateway" } };
const made: Made = {
  ...{ kind: "cluster", algorithm: "ECDSA-P256", rootDuration: "87600h", trustDomain: "dev.internal" },
};

/** The rows; `world` is called when one is tried. */
export function rotationRows(world: () => World) {
  const check = (state: State, trusted: readonly string[]) => () => checked(world(), state, trusted);
  const left = "What is left: node tools/rotate/cli.ts status";
  return [
    {
      input: "another algorithm for roots that are there",
      provoke: async () =>
        changeRefusal([{ ...made, name: "1", active: true, founder: true }], { ...made, algorithm: "RSA-2048" }) ?? "",
      message:
        'The roots of generation "1" were created with pki.algorithm: ECDSA-P256, but the configuration asks for pki.algorithm: RSA-2048: a root cannot change.\n' +
        'Nothing was changed. Add a new generation along with the change, then run pulumi up: pki.root.active: "1", pki.root.trusted: ["1", "2"]. ' +
        "The steps after that are in docs/rotation.md. Or restore pki.algorithm: ECDSA-P256.",
    },
    {
      input: "a generation that becomes active without being prepared",
      provoke: check({ prepared: 1, certificates: [platformLeaf] }, ["1", "2"]),
      message:
        'Generation "2" of the roots cannot become active: it was never prepared. Its roots are not in ConfigMap mtls/edge-trust.\n' +
        'Nothing was changed. Prepare it first: pki.root.active: "1", pki.root.trusted: ["1", "2"], then run pulumi up. ' +
        "Activate it in the update after that: docs/rotation.md.",
    },
    {
      input: "a generation that becomes active while somebody lacks its root",
      provoke: () => {
        const [first] = world().roots;
        const bundle = { metadata: shop, data: { "ca.crt": first!.root } };
        return check({ prepared: 2, bundles: [bundle], certificates: [platformLeaf] }, ["1", "2"])();
      },
      message:
        'Generation "2" of the roots cannot become active yet. These lack its root and would refuse its leaves:\n' +
        "  ConfigMap shop/edge-trust lacks the edge root\n" +
        `Nothing was changed. Run pulumi up in the stacks that own these (in this one, with the previous active generation), then try again. ${left}`,
    },
    {
      input: "a generation that leaves while somebody needs it",
      provoke: check({ prepared: 2, certificates: [shopLeaf] }, ["2"]),
      message:
        'Generation "1" of the roots cannot be retired yet. It is still needed, or may be:\n' +
        '  Certificate shop/shop names the issuer of generation "1"\n' +
        `Nothing was changed. Keep "1" in pki.root.trusted until the stacks that own these have run pulumi up. ${left}`,
    },
    {
      input: "a rotation by somebody who may not look everywhere",
      provoke: check({ prepared: 2, pods: 403 }, ["2"]),
      message:
        'The root rotation cannot be checked: The kubeconfig\'s user may not read Pods: grant it "list" on pods in all namespaces (docs/roles.md).\nNothing was changed.',
    },
  ];
}

/** What the program says with generation 2 active and these trusted. */
async function checked({ api, cluster, roots }: World, state: State, trusted: readonly string[]): Promise<string> {
  const generations = roots.slice(0, state.prepared).map(({ root }, index) => [String(index + 1), [digestOf(root)]]);
  const own = {
    metadata: {
      annotations: { "mtls-everywhere/generations": JSON.stringify(Object.fromEntries(generations)) },
    },
    data: {
      "ca.crt": roots
        .slice(0, state.prepared)
        .map(({ root }) => root)
        .join("\n"),
    },
  };
  const certificates = { items: state.certificates ?? [] };
  const answers: Readonly<Record<string, object | number>> = {
    ...Object.fromEntries(planes.map((plane) => [`namespaces/mtls/configmaps/${plane}-trust`, 404])),
    "namespaces/mtls/configmaps/edge-trust": own,
    configmaps: { items: state.bundles ?? [] },
    pods: state.pods ?? { items: [] },
    "namespaces/mtls/pods": { items: [] },
    "/apis/cert-manager.io/v1/certificates": certificates,
    "/apis/cert-manager.io/v1/namespaces/mtls/certificates": certificates,
    "/apis/cert-manager.io/v1/certificaterequests": { items: [] },
  };
  const before = new Map(Object.keys(answers).map((path) => [path, api.answers.get(path)]));
  for (const [path, answer] of Object.entries(answers)) api.answers.set(path, answer);
  const platform = { namespace: "mtls", founder: "1", host: "site.example" };
  const admin: Parameters<typeof checkRotation>[1]["admin"] = (running) =>
    adminEndpoint("apisix", { namespace: "mtls", cluster: "uid" }, running);
  try {
    await checkRotation(cluster, { ...platform, admin }, { active: "2", trusted });
    return "It was accepted.";
  } catch (error) {
    return (error as Error).message;
  } finally {
    for (const [path, answer] of before) {
      if (answer === undefined) api.answers.delete(path);
      else api.answers.set(path, answer);
    }
  }
}
