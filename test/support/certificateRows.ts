// What `gateway.certificate` may not be, for the table of wrong inputs: each with its issuer or Secret, and the whole message.

import type { Cluster } from "../../cluster-access/cluster.ts";
import { parseConfig } from "../../config.ts";
import { checkGatewayCertificate } from "../../neighbours/gatewayCertificate.ts";
import type { Authority } from "./authorities.ts";
import type { KubernetesApi } from "./kubernetesApi.ts";
import type { There } from "./neighbourRows.ts";

/** Where they are tried. */
interface World {
  readonly api: KubernetesApi;
  readonly cluster: Cluster;
  readonly authority: Authority;
  readonly another: Authority;
  readonly inStack: (act: () => Promise<unknown>) => Promise<string>;
}

const certManager = "/apis/cert-manager.io/v1";

/** cert-manager's kinds, as the API server lists them. */
export const issuerKinds: There = {
  [certManager]: {
    resources: [
      { kind: "ClusterIssuer", name: "clusterissuers/status", namespaced: false },
      { kind: "ClusterIssuer", name: "clusterissuers", namespaced: false },
      { kind: "Issuer", name: "issuers", namespaced: true },
    ],
  },
};

/** A ClusterIssuer that reports this. */
export const clusterIssuer = (name: string, status: "True" | "False", message: string): There => ({
  ...issuerKinds,
  [`${certManager}/clusterissuers/${name}`]: { status: { conditions: [{ type: "Ready", status, message }] } },
});

const host = "api.example.com";
const letsencrypt = { issuerRef: { name: "letsencrypt", kind: "ClusterIssuer" } };
const own = { secretName: "public" };

/** The rows; `world` is asked when one is tried. */
export function certificateRows(world: () => World) {
  const issued = (input: string, certificate: object, there: There, line: string) => ({
    input,
    provoke: () => checked(world(), certificate, there),
    message: refusal(line),
  });
  const held = (
    input: string,
    certificate: (world: World) => object,
    leaf: (world: World) => ReturnType<Authority["leaf"]>,
    line: string,
  ) => ({
    input,
    provoke: async () => {
      const { cert, key } = await leaf(world());
      world().api.secret("mtls", "public", { "tls.crt": cert, "tls.key": key });
      return checked(world(), certificate(world()), {});
    },
    message: refusal(`secretName: Secret mtls/public: ${line}`),
  });
  const right = { dnsNames: [host], usages: ["server auth"] } as const;
  return [
    issued(
      "an issuer that does not exist",
      letsencrypt,
      issuerKinds,
      "issuerRef: ClusterIssuer letsencrypt does not exist. Create it (one that has a namespace, in mtls), or correct the name.",
    ),
    issued(
      "an issuer of a kind that the cluster does not have",
      letsencrypt,
      {},
      "issuerRef: the cluster has no kind ClusterIssuer of cert-manager.io. Install its controller, or correct kind and group; if cert-manager comes with this stack, run pulumi up without gateway.certificate first.",
    ),
    issued(
      "an issuer that is not ready",
      letsencrypt,
      clusterIssuer("letsencrypt", "False", "Failed to register ACME account"),
      "issuerRef: ClusterIssuer letsencrypt is not ready: Failed to register ACME account. To see more: kubectl -n mtls describe clusterissuer letsencrypt",
    ),
    issued(
      "an issuer of the platform's own",
      { issuerRef: { name: "admin" } },
      {},
      "issuerRef: Issuer admin is the platform's own, of the admin plane. Name another: its leaves open other doors.",
    ),
    issued(
      "an issuer that cannot be read",
      letsencrypt,
      { ...issuerKinds, [`${certManager}/clusterissuers/letsencrypt`]: 500 },
      "ClusterIssuer letsencrypt could not be read: HTTP 500.",
    ),
    issued(
      "a Secret for the gateway's certificate that does not exist",
      own,
      { "namespaces/mtls/secrets/public": 404 },
      "secretName: Secret mtls/public does not exist. Create it (kubectl -n mtls create secret tls public --cert=chain.pem --key=key.pem); if the stack has yet to create the namespace, run pulumi up without gateway.certificate first.",
    ),
    held(
      "a certificate for another host than the gateway's",
      ({ authority }) => ({ ...own, roots: authority.root }),
      ({ authority }) => authority.leaf({ ...right, subject: "CN=shop", dnsNames: ["shop.example.com"] }),
      'The certificate does not cover "api.example.com": it is for shop.example.com. Put a right one into the Secret.',
    ),
    held(
      "a certificate of no public authority, without its root",
      () => own,
      ({ authority }) => authority.leaf(right),
      "The chain does not end at a public authority's root. Add the missing intermediates, or set gateway.certificate.roots to the root that clients trust it by.",
    ),
    held(
      "a certificate that does not chain to its roots",
      ({ another }) => ({ ...own, roots: another.root }),
      ({ authority }) => authority.leaf(right),
      "The chain does not end at a root in gateway.certificate.roots. Add the missing intermediates, or correct the roots.",
    ),
  ];
}

function refusal(line: string): string {
  return `Stack dev cannot serve what gateway.certificate names:\n  ${line}\nNothing was changed.`;
}

/** What the program says to this certificate if these objects exist. */
async function checked({ api, cluster, inStack }: World, certificate: object, there: There): Promise<string> {
  const before = new Map(Object.keys(there).map((path) => [path, api.answers.get(path)]));
  for (const [path, answer] of Object.entries(there)) api.answers.set(path, answer);
  try {
    const env = parseConfig({ trustDomain: "dev.internal", gateway: { host, certificate } }, "dev");
    return await inStack(() => checkGatewayCertificate(cluster, env));
  } finally {
    for (const [path, answer] of before) {
      if (answer === undefined) api.answers.delete(path);
      else api.answers.set(path, answer);
    }
  }
}
