// A second host with its own upstream: what two statements in index.ts plan, and who may then reach whom.

import { deepStrictEqual as same } from "node:assert/strict";
import { rmSync } from "node:fs";

import * as pulumi from "@pulumi/pulumi";

import { Site, type SiteArgs, type SiteOfIssuer } from "../../components/site.ts";
import { makeFolder } from "../../lab/temporary.ts";
import { type NetworkObject, reachable } from "../support/reach.ts";
import { second, writeSecondSite } from "../support/secondSite.ts";
import { plan, type Planned, type Registered } from "./mockedPlatform.ts";

describe("a second host with its own upstream", () => {
  let folder: string;
  let one: Planned;
  let two: Planned;
  before(async () => {
    folder = await makeFolder("second-site");
    one = await plan("dev");
    two = await plan("dev", {}, { program: writeSecondSite(folder) });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const added = () => two.resources.filter(({ urns }) => !one.resources.some((known) => known.urns[0] === urns[0]));

  it("takes two statements, which plan a site with its leaf and route, and a workload with its edge", () => {
    // A Certificate is a component that contains cert-manager's object, and the policy that allows the leaf.
    const leaves = ["orders", "orders-server"].flatMap((name) => [
      ...[`Certificate ${name}`, `Certificate ${name}`, `CertificateRequestPolicy ${name}-policy`],
    ]);
    const workload = ["ConfigMap orders-config", "ConfigMap orders-files", "Deployment orders", "Service orders"];
    const grant = ["RenewerGrant", "Role", "RoleBinding"].map((kind) => `${kind} orders-renewer`);
    same(
      added().map(titleOf).sort(),
      [
        ...["NginxUpstream orders", ...workload, "ServiceAccount orders", "NetworkPolicy orders-from-apisix"],
        ...["Site orders", ...grant, ...leaves],
        ...["ApisixSsl orders", "ApisixUpstream orders", "ApisixRoute orders", "ApisixRefusal orders-others"],
      ].sort(),
    );
  });

  it("lets the gateway reach its pods, and opens nothing else", () => {
    const before = reachable(networkObjects(one), []);
    same(reachable(networkObjects(two), []), [...before, "apisix -> orders TCP 8443"].sort());
  });

  it("has its own certificate, and answers there the clients that it allows", () => {
    const admin = two.outputs["admin"];
    const common = { admin, objectId: "orders", owner: "mtls-everywhere/dev/mtls%3Aplatform%3ASite/orders" };
    const inGateway = added().filter(({ type }) => type.startsWith("pulumi-nodejs:dynamic/"));
    same(Object.fromEntries(inGateway.map((object) => [titleOf(object), withoutProvider(object.inputs as object)])), {
      "ApisixSsl orders": {
        ...common,
        certificate: { plane: "edge", namespace: "mtls", name: "orders", dnsNames: [second.host] },
        use: "server",
        snis: [second.host],
        clients: { trust: { plane: "edge", namespace: "mtls", name: "edge-trust", key: "ca.crt" } },
      },
      "ApisixUpstream orders": {
        ...common,
        nodes: [{ host: "orders.mtls.svc", port: 443 }],
        serverName: "orders.mtls.svc",
      },
      "ApisixRoute orders": {
        ...{ ...common, hosts: [second.host], uris: ["/*"], upstream: "orders-id" },
        vars: [
          ["ssl_client_verify", "==", "SUCCESS"],
          ["ssl_client_s_dn", "in", ["CN=curl,OU=mtls,O=dev.mtls.internal"]],
        ],
      },
      "ApisixRefusal orders-others": {
        ...{ admin, objectId: "orders-others", owner: `${common.owner}-others` },
        ...{ hosts: [second.host], uris: ["/*"], priority: -1, refuse: true },
        description: "Refuses clients that the route of the next higher priority does not allow",
      },
    });
  });
});

describe("a site", () => {
  const admin = {
    ...{ cluster: "uid", namespace: "mtls", selector: "app=apisix", port: 9180, serverName: "apisix-admin" },
    trust: { namespace: "mtls", name: "admin-trust", key: "ca.crt" },
    certificate: { namespace: "mtls", name: "deployer" },
    key: { namespace: "mtls", name: "admin-key", key: "key" },
  };
  const identity = { trustDomain: "dev", namespace: "mtls", serviceAccount: "apisix" };
  // While two generations of roots overlap.
  const gateway = { admin, identity, identities: [identity, { ...identity, trustDomain: "next" }] };
  const service = { node: { host: "orders.web.svc", port: 8443 }, serverName: "orders.web.svc" };
  const common = (objectId: string) => ({
    ...{ admin, objectId, owner: `project/stack/mtls%3Aplatform%3ASite/${objectId}` },
  });

  /** Everything that a site makes, by kind and name. */
  async function madeBy(
    args: Pick<SiteArgs, "allow" | "clients" | "routes"> &
      Partial<Pick<SiteOfIssuer, "issuer" | "namespace" | "algorithm">>,
  ): Promise<Record<string, unknown>> {
    const made: Record<string, unknown> = {};
    await pulumi.runtime.setMocks(
      {
        newResource({ type, name, inputs }) {
          made[titleOf({ type, name })] = withoutProvider(inputs as object);
          return { id: `${name}-id`, state: inputs as object };
        },
        call: () => ({}),
      },
      "project",
      "stack",
    );
    const { clients = "anyone", issuer, namespace = "", algorithm = "ECDSA-P256", ...more } = args;
    const certificate = { namespace: "web", name: "public" };
    const source = issuer ? { issuer, namespace, algorithm } : { certificate };
    const site = new Site("shop", { ...more, ...{ gateway, host: "shop.example", clients }, ...source });
    await settled(pulumi.all([pulumi.all(site.routes.map(({ id }) => id)), site.certificate]));
    while (!("ApisixSsl shop" in made)) await new Promise(setImmediate);
    return made;
  }

  it("accepts a certificate from elsewhere, other clients, and all options of routes and upstreams", async () => {
    const made = await madeBy({
      allow: "every client",
      routes: { orders: { service, upstream: { retries: 1 }, uris: ["/orders/*"], methods: ["GET"] } },
    });
    const certificate = { namespace: "web", name: "public" };
    const metadata = {
      ...{ name: "shop-renewer", namespace: "web" },
      labels: { "app.kubernetes.io/name": "shop-renewer", "app.kubernetes.io/part-of": "mtls-everywhere" },
    };
    const rbac = (kind: string) => ({ apiVersion: "rbac.authorization.k8s.io/v1", kind, metadata });
    same(made, {
      "Site shop": {},
      "RenewerGrant shop-renewer": {},
      "Role shop-renewer": {
        ...rbac("Role"),
        rules: [
          { apiGroups: [""], resources: ["secrets"], resourceNames: ["public"], verbs: ["get", "list", "watch"] },
        ],
      },
      "RoleBinding shop-renewer": {
        ...rbac("RoleBinding"),
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "shop-renewer" },
        subjects: [{ kind: "ServiceAccount", name: "apisix", namespace: "mtls" }],
      },
      "ApisixSsl shop": {
        ...common("shop"),
        ...{ certificate, use: "server", snis: ["shop.example"], clients: "anyone" },
      },
      "ApisixUpstream orders": {
        ...common("orders"),
        ...{ nodes: [{ host: "orders.web.svc", port: 8443 }], serverName: "orders.web.svc", retries: 1 },
      },
      "ApisixRoute orders": {
        ...common("orders"),
        ...{ hosts: ["shop.example"], uris: ["/orders/*"], methods: ["GET"], upstream: "orders-id" },
      },
    });
  });

  it("has another issuer sign its certificate, under its own name", async () => {
    const made = await madeBy({
      ...{ allow: "every client", routes: {}, namespace: "web", algorithm: "ECDSA-P384" },
      issuer: { kind: "ClusterIssuer", name: "letsencrypt" },
    });
    const { "Certificate shop": certificate, "ApisixSsl shop": ssl, "Role shop-renewer": role } = made;
    same(certificate, {
      ...{ apiVersion: "cert-manager.io/v1", kind: "Certificate" },
      metadata: { name: "shop", namespace: "web", annotations: { "pulumi.com/waitFor": "condition=Ready" } },
      spec: {
        secretName: "shop",
        privateKey: { algorithm: "ECDSA", size: 384, rotationPolicy: "Always" },
        usages: ["digital signature", "server auth"],
        dnsNames: ["shop.example"],
        issuerRef: { name: "letsencrypt", kind: "ClusterIssuer", group: "cert-manager.io" },
      },
    });
    const secret = { namespace: "web", name: "shop", dnsNames: ["shop.example"] };
    same(ssl, {
      ...common("shop"),
      ...{ certificate: secret, use: "server", snis: ["shop.example"], clients: "anyone" },
    });
    same((role as { rules: unknown }).rules, [
      { apiGroups: [""], resources: ["secrets"], resourceNames: ["shop"], verbs: ["get", "list", "watch"] },
    ]);
  });

  it("answers the clients on its list in every trust domain, others on a route's own list, and refuses the rest", async () => {
    const made = await madeBy({
      clients: { trust: { namespace: "mtls", name: "edge-trust", key: "ca.crt" } },
      allow: [
        { namespace: "web", serviceAccount: "cart" },
        { namespace: "web", serviceAccount: "till" },
      ],
      routes: {
        orders: { service, uris: ["/orders/*"], methods: ["GET"], vars: [["arg_shop", "==", "open"]], priority: 5 },
        stock: { service, uris: ["/stock"], allow: [] },
        open: { service, uris: ["/open"], allow: "every client" },
      },
    });
    const routes = Object.entries(made).filter(([title]) => /^Apisix(Route|Refusal) /.test(title));
    const described = "Refuses clients that the route of the next higher priority does not allow";
    const orders = { hosts: ["shop.example"], uris: ["/orders/*"], methods: ["GET"] };
    const stock = { hosts: ["shop.example"], uris: ["/stock"] };
    const verified = ["ssl_client_verify", "==", "SUCCESS"];
    const subjects = ["cart,OU=web,O=dev", "cart,OU=web,O=next", "till,OU=web,O=dev", "till,OU=web,O=next"];
    same(Object.fromEntries(routes), {
      "ApisixRoute orders": {
        ...{ ...common("orders"), ...orders, priority: 5, upstream: "orders-id" },
        vars: [["arg_shop", "==", "open"], verified, ["ssl_client_s_dn", "in", subjects.map((name) => `CN=${name}`)]],
      },
      "ApisixRefusal orders-others": {
        ...{ ...common("orders-others"), ...orders, priority: 4, refuse: true, description: described },
        vars: [["arg_shop", "==", "open"]],
      },
      "ApisixRoute stock": {
        ...{ ...common("stock"), ...stock, upstream: "stock-id" },
        vars: [verified, ["ssl_client_s_dn", "in", []]],
      },
      "ApisixRefusal stock-others": {
        ...{ ...common("stock-others"), ...stock, priority: -1, refuse: true, description: described },
      },
      "ApisixRoute open": { ...common("open"), hosts: ["shop.example"], uris: ["/open"], upstream: "open-id" },
    });
  });
});

/** Kind and name. */
function titleOf({ type, name }: Pick<Registered, "type" | "name">): string {
  return `${type.split(":").at(-1)} ${name}`;
}

function networkObjects({ resources }: Planned): NetworkObject[] {
  return resources
    .filter(({ type }) => /^kubernetes:(apps|networking\.k8s\.io)\//.test(type))
    .map(({ inputs }) => inputs as NetworkObject);
}

function withoutProvider(inputs: object): object {
  return Object.fromEntries(Object.entries(inputs).filter(([key]) => key !== "__provider"));
}

function settled<T>(output: pulumi.Output<T>): Promise<T> {
  return new Promise((done) => output.apply((value) => done(value)));
}
