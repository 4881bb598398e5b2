// The dynamic resources as the engine gets them: small providers that capture nothing, and complete inputs.

import { deepStrictEqual as same, ok, throws } from "node:assert/strict";
import { createRequire, Module } from "node:module";

import * as pulumi from "@pulumi/pulumi";

import type { ApisixRoute } from "../../components/gateway/apisixRoute.ts";

const registered = new Map<string, { type: string; inputs: Record<string, unknown> }>();

describe("the dynamic resources", () => {
  const admin = {
    ...{ cluster: "uid", namespace: "mtls", selector: "app=apisix", port: 9180, serverName: "apisix-admin" },
    trust: { namespace: "mtls", name: "admin-trust", key: "ca.crt" },
    certificate: { namespace: "mtls", name: "deployer" },
    key: { namespace: "mtls", name: "admin-key", key: "key" },
  };
  const ref = { namespace: "mtls", name: "x", key: "y" };
  let route: typeof ApisixRoute;

  before(async () => {
    await pulumi.runtime.setMocks(
      {
        newResource({ type, name, inputs }) {
          registered.set(name, { type, inputs: inputs as Record<string, unknown> });
          return { id: `${name}-id`, state: { ...(inputs as object), digest: "d", notAfter: "t", pem: "p" } };
        },
        call: () => ({}),
      },
      "project",
      "stack",
    );
    const { ApisixUpstream } = await import("../../components/gateway/apisixUpstream.ts");
    const { ApisixSsl } = await import("../../components/gateway/apisixSsl.ts");
    const { ApisixRoute } = await import("../../components/gateway/apisixRoute.ts");
    const { ApisixGlobalRule } = await import("../../components/gateway/apisixGlobalRule.ts");
    const { ApisixPluginConfig } = await import("../../components/gateway/apisixPluginConfig.ts");
    const { EtcdAuth } = await import("../../components/etcdAuth.ts");
    const { RootKey } = await import("../../components/rootKey.ts");
    const { RootCertificates } = await import("../../components/rootCertificates.ts");
    route = ApisixRoute;
    const site = new ApisixSsl("site", { admin, certificate: ref, snis: ["a.example"], clients: { trust: ref } });
    const caller = new ApisixSsl("caller", { admin, certificate: ref, use: "client", id: "c", adopt: true });
    const upstream = new ApisixUpstream("hello", {
      admin,
      nodes: [{ host: "h", port: 1 }],
      serverName: "h.example",
      clientCertificate: caller.id,
      retries: 1,
      healthChecks: { active: { type: "tcp" } },
    });
    const more = { websocket: true, pluginConfig: "p" };
    const hello = new ApisixRoute("route", {
      ...{ admin, hosts: ["a.example"], uri: "/*", upstream: upstream.id, ...more },
      vars: [["arg_a", "==", "1"]],
    });
    new ApisixGlobalRule("everywhere", { admin, plugins: { cors: {} } });
    new ApisixPluginConfig("shared", { admin, plugins: { cors: {} }, description: "d" });
    const auth = new EtcdAuth("auth", {
      etcd: admin,
      root: ref,
      users: [{ name: "apisix", password: ref, prefix: "/apisix" }],
    });
    const roots = new RootCertificates("roots", { cluster: "uid", secrets: [ref] });
    new RootKey("key", { cluster: "uid", secret: ref, certificate: "root" });
    const team = new pulumi.ComponentResource("shop:index:Team", "team");
    const nested = new ApisixRoute(
      "nested",
      { admin, id: "n", hosts: ["b.example"], uri: "/", upstream: "u" },
      { parent: team },
    );
    const outputs = pulumi.all([site.digest, site.notAfter, roots.pem, hello.uris, auth.urn, nested.urn]);
    same((await settled(outputs)).slice(0, 4), ["d", "t", "p", ["/*"]]);
  });

  const common = (name: string, id = name) => ({ admin, objectId: id, owner: `project/stack/${name}` });

  it("register under their own tokens, with references only", () => {
    const seen = Object.fromEntries(
      [...registered].map(
        ([
          name,
          {
            type,
            inputs: { __provider, ...inputs },
          },
        ]) => [name, { type, inputs }],
      ),
    );
    same(seen, {
      site: {
        type: "pulumi-nodejs:dynamic/mtls:ApisixSsl",
        inputs: { ...common("site"), certificate: ref, use: "server", snis: ["a.example"], clients: { trust: ref } },
      },
      caller: {
        type: "pulumi-nodejs:dynamic/mtls:ApisixSsl",
        inputs: { ...common("caller", "c"), adopt: true, certificate: ref, use: "client" },
      },
      hello: {
        type: "pulumi-nodejs:dynamic/mtls:ApisixUpstream",
        inputs: {
          ...common("hello"),
          nodes: [{ host: "h", port: 1 }],
          serverName: "h.example",
          clientCertificate: "caller-id",
          retries: 1,
          healthChecks: { active: { type: "tcp" } },
        },
      },
      route: {
        type: "pulumi-nodejs:dynamic/mtls:ApisixRoute",
        inputs: {
          ...common("route"),
          ...{ hosts: ["a.example"], uris: ["/*"], upstream: "hello-id" },
          ...{ websocket: true, pluginConfig: "p", vars: [["arg_a", "==", "1"]] },
        },
      },
      everywhere: {
        type: "pulumi-nodejs:dynamic/mtls:ApisixGlobalRule",
        inputs: { ...common("everywhere"), plugins: { cors: {} } },
      },
      shared: {
        type: "pulumi-nodejs:dynamic/mtls:ApisixPluginConfig",
        inputs: { ...common("shared"), plugins: { cors: {} }, description: "d" },
      },
      team: { type: "shop:index:Team", inputs: {} },
      // Its URN also differs from one with the same name under another parent.
      nested: {
        type: "pulumi-nodejs:dynamic/mtls:ApisixRoute",
        inputs: {
          ...common("nested", "n"),
          owner: "project/stack/shop%3Aindex%3ATeam/nested",
          hosts: ["b.example"],
          uris: ["/"],
          upstream: "u",
        },
      },
      auth: {
        type: "pulumi-nodejs:dynamic/mtls:EtcdAuth",
        inputs: { etcd: admin, root: ref, users: [{ name: "apisix", password: ref, prefix: "/apisix" }] },
      },
      key: {
        type: "pulumi-nodejs:dynamic/mtls:RootKey",
        inputs: { cluster: "uid", secret: ref, certificate: "root" },
      },
      roots: { type: "pulumi-nodejs:dynamic/mtls:RootCertificates", inputs: { cluster: "uid", secrets: [ref] } },
    });
  });

  it("carry 3 KB providers that capture nothing and run on their own", async () => {
    for (const [name, { inputs }] of registered) {
      if (!("__provider" in inputs)) continue;
      const text = String(inputs["__provider"]);
      // The SDK wraps each of the eight functions in 230 bytes.
      ok(text.length < 3_200, `${name}: ${text.length} bytes`);
      const provider = deserialized(text);
      await provider.configure!({ config: { get: (key: string) => `value of ${key}`, require: (key: string) => key } });
      same((provider as unknown as { cluster: object }).cluster, {
        kubeconfig: "value of kubernetes:kubeconfig",
        context: "value of kubernetes:context",
      });
    }
    const provider = deserialized(String(registered.get("route")!.inputs["__provider"]));
    (provider as unknown as { cluster: object }).cluster = { connect: () => {} };
    const { failures } = await provider.check!(
      {},
      { admin, objectId: "no id", owner: "o", hosts: [], uris: ["/"], upstream: "u" },
    );
    same(
      failures!.map(({ property }) => property),
      ["id", "hosts"],
    );
  });

  it("refuse a route without a path, or with two kinds of path", () => {
    const args = { admin, hosts: ["a.example"], upstream: "u" };
    throws(() => new route("bad", args), /ApisixRoute "bad": give exactly one of "uri" and "uris"/);
    throws(() => new route("bad", { ...args, uri: "/", uris: ["/"] }), /exactly one/);
  });
});

function settled<T>(output: pulumi.Output<T>): Promise<T> {
  return new Promise((resolve) => output.apply(resolve));
}

/** What the engine's plugin process does with a serialized provider. */
function deserialized(text: string): pulumi.dynamic.ResourceProvider {
  const filename = createRequire(import.meta.url)
    .resolve("../../package.json")
    .replace("package.json", "provider.cjs");
  const module = new Module(filename) as Module & { _compile(text: string, filename: string): void };
  module._compile(text, filename);
  return (module.exports as { handler: () => pulumi.dynamic.ResourceProvider }).handler();
}
