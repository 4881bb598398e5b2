// What another team's stack gets from the platform, and what it is told if it cannot use it.

import { deepEqual, equal, rejects, throws } from "node:assert/strict";
import { fileURLToPath } from "node:url";

import * as pulumi from "@pulumi/pulumi";

import { checkHosts } from "../components/certificate.ts";
import { readPlatform } from "../consume.ts";
import { plan, rootPem } from "./components/mockedPlatform.ts";
import { byPlane, outputs } from "./support/outputs.ts";
import { type NetworkObject, reachable } from "./support/reach.ts";

/** A platform's stack with these outputs. */
async function platformWith(
  values: Readonly<Record<string, unknown>>,
  onResource: (resource: pulumi.runtime.MockResourceArgs) => void = () => {},
): Promise<void> {
  await pulumi.runtime.setMocks(
    {
      newResource(resource) {
        onResource(resource);
        return { id: resource.name, state: { ...(resource.inputs as object), outputs: values } };
      },
      call: ({ inputs }) => inputs as Record<string, unknown>,
    },
    "shop",
    "dev",
  );
}

describe("a consumer of the platform", () => {
  const stack = "organization/mtls-everywhere/dev";

  it("gets its outputs as plain values, without those that it does not know", async () => {
    await platformWith({ ...outputs, added: "in a later release" });
    const { apisix: _apisix, authorityFor: _authorityFor, ...plain } = await readPlatform(stack);
    deepEqual(plain, outputs);
  });

  it("gets the gateway, which alone may reach its services", async () => {
    await platformWith(outputs);
    const { apisix } = await readPlatform(stack);
    const identity = { trustDomain: "dev", namespace: "mtls", serviceAccount: "apisix" };
    deepEqual(
      { ...apisix, upstreamCertificate: await settled(apisix.upstreamCertificate) },
      {
        admin: outputs.admin,
        pods: { name: "apisix", namespace: "mtls", selector: "app.kubernetes.io/name=apisix" },
        identity,
        identities: [identity],
        plainHosts: [],
        upstreamCertificate: { plane: "upstream", namespace: "mtls", name: "apisix-upstream" },
      },
    );
  });

  it("gets an authority for leaves in its namespace, and the plane's roots there", async () => {
    const made: object[] = [];
    await platformWith(outputs, ({ type, name, inputs }) => made.push({ type, name, inputs: inputs as object }));
    const platform = await readPlatform(stack);
    const { issuer, trust, roots, ...plain } = platform.authorityFor("upstream", "shop");
    const trustBundle = { plane: "upstream", namespace: "shop", name: "upstream-trust", key: "ca.crt" };
    deepEqual(
      { ...plain, issuer: await settled(issuer), trust: await settled(trust), roots: await settled(roots) },
      {
        plane: "upstream",
        issuer: { plane: "upstream", kind: "ClusterIssuer", name: "mtls-upstream", group: "cert-manager.io" },
        trust: trustBundle,
        roots: "PEM",
        trustDomain: "dev",
        algorithm: "ECDSA-P256",
        leafDuration: "24h",
      },
    );
    deepEqual(made.slice(1), [
      { type: "mtls:platform:TrustBundle", name: "shop-upstream-trust", inputs: {} },
      {
        type: "kubernetes:core/v1:ConfigMap",
        name: "shop-upstream-trust",
        inputs: {
          ...{ apiVersion: "v1", kind: "ConfigMap" },
          metadata: { name: "upstream-trust", namespace: "shop", labels: { "mtls-everywhere/trust": "upstream" } },
          data: { "ca.crt": "PEM" },
        },
      },
    ]);
    const longer = platform.authorityFor("edge", "shop", {}, { algorithm: "RSA-2048", leafDuration: "720h" });
    deepEqual([longer.plane, longer.algorithm, longer.leafDuration], ["edge", "RSA-2048", "720h"]);
  });

  it("may have a leaf for the hosts alone that the platform gives to its namespace", async () => {
    await platformWith({ ...outputs, hosts: [{ namespace: "shop", host: "shop.example" }] });
    const { authorityFor } = await readPlatform(stack);
    const leaf = (host: string, namespace = "shop") =>
      checkHosts("leaf", { authority: authorityFor("edge", namespace), namespace, dnsNames: [host] });
    leaf("shop.example");
    throws(() => leaf("other.example"), /"shop\/other\.example" added to the platform's gateway\.hosts/);
    throws(() => leaf("shop.example", "web"), /"web\/shop\.example" added/);
    equal(authorityFor("upstream", "web").hosts, undefined);

    const { hosts: _unlimited, ...older } = outputs;
    await platformWith(older);
    const any = (await readPlatform(stack)).authorityFor("edge", "shop");
    checkHosts("leaf", { authority: any, namespace: "shop", dnsNames: ["any.example"] });
  });

  it("is told what is missing, and what to do", async () => {
    const { gateway: _gateway, ...rest } = outputs;
    await platformWith({ ...rest, admin: { ...outputs.admin, port: "9180" } });
    await rejects(
      readPlatform(stack),
      (error: Error) =>
        pulumi.RunError.isInstance(error) &&
        error.message ===
          `The platform of stack ${stack} cannot be used.
stack output "gateway" is missing
stack output "admin.port" must be a number, but is "9180"
Run \`pulumi up -s ${stack}\` first.`,
    );
  });

  it("is told about outputs of another version", async () => {
    await platformWith({ ...outputs, contract: 3 });
    await rejects(readPlatform(stack), /outputs of stack organization\/mtls-everywhere\/dev are version 3, but/);
  });
});

describe("the example of a consumer", () => {
  it("brings up a service that the platform's gateway alone can reach, with a route to it", async () => {
    const referenced = { ...outputs, roots: byPlane(() => rootPem) };
    const values = { platform: "organization/mtls-everywhere/dev", image: "nginx:1.28.0" };
    const program = fileURLToPath(new URL("../examples/consumer/index.ts", import.meta.url));
    const { resources, outputs: given } = await plan("dev", values, { program, referenced });
    const objects = resources.filter(({ type }) => type.startsWith("kubernetes:"));
    deepEqual(objects.map(({ type, name }) => `${type.split(":").at(-1)} ${name}`).sort(), [
      ...["Certificate shop-server", "ConfigMap shop-config", "ConfigMap shop-files", "ConfigMap shop-upstream-trust"],
      ...[
        "Deployment shop",
        "Namespace namespace",
        "NetworkPolicy namespace-deny-all",
        "NetworkPolicy shop-from-apisix",
      ],
      ...["Service shop", "ServiceAccount shop"],
    ]);
    const [gateway, stranger] = ["mtls", "shop"].map((namespace) => ({
      ...{ name: `apisix in ${namespace}`, namespace, labels: { "app.kubernetes.io/name": "apisix" } },
    }));
    const network = objects.filter(({ type }) => /:(apps|networking\.k8s\.io)\//.test(type));
    deepEqual(
      reachable(
        network.map(({ inputs }) => inputs as NetworkObject),
        [gateway!, stranger!, { name: "internet", address: "198.51.100.7" }],
      ),
      ["apisix in mtls -> shop TCP 8443"],
    );
    const route = resources.find(({ type }) => type.endsWith(":ApisixRoute"))?.inputs as Record<string, unknown>;
    deepEqual([route["hosts"], route["uris"], route["upstream"]], [["upstream"], ["/shop.json"], "shop-id"]);
    deepEqual(given, { url: "https://upstream/shop.json" });
  });
});

describe("the example with a service outside", () => {
  it("lets the gateway reach the egress proxy, and that alone the service, with a route to it", async () => {
    const referenced = { ...outputs, roots: byPlane(() => rootPem) };
    const values = {
      ...{ platform: "organization/mtls-everywhere/dev", image: "nginx:1.28.0", host: "foo.example.com" },
      ...{ service: "api.partner.example", port: 443, roots: rootPem, clientCertificate: "for-partner" },
    };
    const program = fileURLToPath(new URL("../examples/upstream-tls/index.ts", import.meta.url));
    const { resources, outputs: given } = await plan("dev", values, { program, referenced });
    const objects = resources.filter(({ type }) => type.startsWith("kubernetes:"));
    const pods = { name: "apisix in mtls", namespace: "mtls", labels: { "app.kubernetes.io/name": "apisix" } };
    const network = objects.filter(({ type }) => /:(apps|networking\.k8s\.io)\//.test(type));
    const edges = reachable(
      network.map(({ inputs }) => inputs as NetworkObject),
      [pods, { name: "internet", address: "198.51.100.7" }],
    );
    deepEqual(edges, ["apisix in mtls -> egress TCP 8443", "egress -> internet TCP 443"]);
    const deployment = objects.find(({ type }) => type.endsWith(":Deployment"))!.inputs as {
      readonly spec: {
        readonly template: { readonly spec: { readonly volumes: readonly { readonly name: string }[] } };
      };
    };
    deepEqual(
      deployment.spec.template.spec.volumes.map(({ name }) => name),
      ["config", "trust", "foo-leaf", "foo-client", "scratch"],
    );
    const upstream = resources.find(({ type }) => type.endsWith(":ApisixUpstream"))?.inputs as Record<string, unknown>;
    deepEqual(upstream["nodes"], [{ host: "egress.outside.svc", port: 443 }]);
    deepEqual(upstream["serverName"], "foo.egress.outside.svc");
    deepEqual(given, { url: "http://foo.example.com/" });
  });
});

function settled<T>(output: pulumi.Output<T>): Promise<T> {
  return new Promise((done) => output.apply((value) => done(value)));
}
