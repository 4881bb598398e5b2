// What is sealed in the gateway, in every kind that can hold secrets, with its owner and the key that its label names.

import { deepStrictEqual as same, match, strictEqual as equal } from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { type Body } from "../../apisix-admin/body.ts";
import { pluginsWithSealedMetadata, sealedObjects, sealOf } from "../../apisix-admin/sealing.ts";

const recorded = join(import.meta.dirname, "../../../shared/fixtures/apisix/control-v1-schema.json");

describe("a seal's label", () => {
  it("names the key, and tells different values under the same name apart without revealing them", () => {
    match(sealOf("2026-11", "0123456789abcdef"), /^2026-11-[0-9a-f]{8}$/);
    equal(sealOf("1", "a"), sealOf("1", "a"));
    equal(new Set([sealOf("1", "a"), sealOf("1", "b"), sealOf("2", "a")]).size, 3);
  });
});

describe("what is sealed in the gateway", () => {
  const labels = (owner: string, seal?: string) => ({
    "mtls-everywhere.owner": owner,
    ...(seal && { "mtls-everywhere.sealed": seal }),
  });
  const plugins = { "key-auth": { key: "secret" } };
  const tls = { client_cert: "PEM", client_key: "ciphertext" };
  /** Lists as the server returns them. */
  const lists: Readonly<Record<string, readonly Body[]>> = {
    ssls: [
      { id: "site", labels: labels("mtls/dev/site", sealOf("2026-11", "key")), update_time: 20 },
      { id: "by-hand", update_time: 10 },
    ],
    upstreams: [
      { id: "hello", labels: labels("mtls/dev/hello") },
      { id: "by-id", tls: { client_cert_id: "caller" } },
      { id: "inline", tls },
    ],
    services: [{ id: "with-inline", upstream: { tls } }],
    routes: [
      { id: "plain", upstream_id: "hello", plugins: {} },
      { id: "with-plugin", plugins, labels: labels("shop/dev/orders") },
    ],
    consumers: [{ username: "jack" }, { username: "jill", plugins, update_time: 30 }],
    "consumers/jack/credentials": [{ id: "one", plugins }],
    consumer_groups: [{ id: "group", plugins }],
    plugin_configs: [{ id: "config", plugins }],
    global_rules: [{ id: "rule", plugins, update_time: 40 }],
    plugin_metadata: [{ id: "http-logger" }, { id: "azure-functions", master_apikey: "secret" }],
  };

  it("is found in every kind that holds secrets, whoever owns it", async () => {
    const found = await sealedObjects({ list: async (path) => lists[path] ?? [] });
    same(found, [
      { object: "ssls/site", owner: "mtls/dev/site", key: "2026-11" },
      { object: "ssls/by-hand" },
      { object: "upstreams/inline" },
      { object: "services/with-inline" },
      { object: "routes/with-plugin", owner: "shop/dev/orders" },
      { object: "consumers/jill" },
      { object: "consumers/jack/credentials/one" },
      { object: "consumer_groups/group" },
      { object: "plugin_configs/config" },
      { object: "global_rules/rule", written: 40_000 },
      { object: "plugin_metadata/azure-functions" },
    ]);
  });

  it("is in the metadata of exactly these plugins, by APISIX's own schemas", function () {
    if (!existsSync(recorded)) this.skip();
    const { plugins } = JSON.parse(readFileSync(recorded, "utf8")) as {
      plugins: Record<string, { metadata_schema?: { encrypt_fields?: string[] } }>;
    };
    const sealing = Object.entries(plugins).filter(([, { metadata_schema }]) => metadata_schema?.encrypt_fields);
    same(
      sealing.map(([name]) => name),
      [...pluginsWithSealedMetadata],
    );
  });
});
