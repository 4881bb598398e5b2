// A second host with its own upstream: what two statements in index.ts plan, and who may then reach whom.

import { deepStrictEqual as same } from "node:assert/strict";
import { rmSync } from "node:fs";

import * as pulumi from "@pulumi/pulumi";

import { Site } from "../../components/site.ts";
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
    // A Certificate is a component that contains cert-manager's object.
    const leaves = ["orders", "orders-server"].flatMap((name) => [`Certificate ${name}`, `Certificate ${name}`]);
    const workload = ["ConfigMap orders-config", "ConfigMap orders-files", "Deployment orders", "Service orders"];
    const grant = ["RenewerGrant", "Role", "RoleBinding"].map((kind) => `${kind} orders-renewer`);
    same(
      added().map(titleOf).sort(),
      [
        ...["NginxUpstream orders", ...workload, "ServiceAccount orders", "NetworkPolicy orders-from-apisix"],
        ...["Site orders", ...grant, ...leaves],
        ...["ApisixSsl orders", "ApisixUpstream orders", "ApisixRoute orders"],
      ].sort(),
    );
  });

  it("lets the gateway reach its pods, and opens nothing else", () => {
    const before = reachable(networkObjects(one), []);
    same(reachable(networkObjects(two), []), [...before, "apisix -> orders TCP 8443"].sort());
  });

  it("has its own certificate, admits clients of the edge plane, and routes only its host", () => {
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
      "ApisixRoute orders": { ...common, hosts: [second.host], uris: ["/*"], upstream: "orders-id" },
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
  const gateway = { admin, identity: { trustDomain: "dev", namespace: "mtls", serviceAccount: "apisix" } };

  it("accepts a certificate from elsewhere, other clients, and all options of routes and upstreams", async () => {
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
    const certificate = { namespace: "web", name: "public" };
    const site = new Site("shop", {
      ...{ gateway, host: "shop.example", certificate, clients: "anyone" },
      routes: {
        orders: {
          service: { node: { host: "orders.web.svc", port: 8443 }, serverName: "orders.web.svc" },
          upstream: { retries: 1 },
          uris: ["/orders/*"],
          methods: ["GET"],
        },
      },
    });
    const [route] = site.routes;
    await settled(pulumi.all([route!.id, site.certificate]));
    const common = (objectId: string) => ({
      ...{ admin, objectId, owner: `project/stack/mtls%3Aplatform%3ASite/${objectId}` },
    });
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
