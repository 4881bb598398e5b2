// Rotates keys that are not certificates in a lab of its own: every step of docs/keys.md, and what is refused in between.
// Then, on the same platform, etcd's members.

import {
  deepStrictEqual as same,
  match,
  notStrictEqual as differs,
  ok,
  strictEqual as equal,
} from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";

import { CoreV1Api } from "@kubernetes/client-node";
import { parse, stringify } from "yaml";

import { type AdminClient } from "../../apisix-admin/client.ts";
import { type SealedObject, sealedObjects } from "../../apisix-admin/sealing.ts";
import { adminClient, closeSessions } from "../../apisix-admin/session.ts";
import { Cluster } from "../../cluster-access/cluster.ts";
import type { PlatformOutputs } from "../../outputs.ts";
import { Authority } from "../support/authorities.ts";
import { stepsOfMembers } from "./members.ts";
import { changes, inLabFolder, inOwnLab, must, run } from "./ownLab.ts";
import { attacksOfTenant } from "./tenant.ts";

const minute = 60_000;
const up = ["up", "--yes", "--skip-preview", "--json"];

describe("keys that are not certificates", function () {
  this.timeout(5 * minute);
  this.slow(1); // makes mocha print how long each step took

  const env = { PULUMI_OPTION_CONFIG_FILE: inLabFolder("Pulumi.keys.yaml") };
  let authority: Authority;

  inOwnLab(async () => {
    authority = await Authority.create("another tool");
  });

  it("start as one of each", async () => {
    configure(["1"]);
    await must("pulumi", up, env);
    await isRight();
    same(await entries(), {
      "apisix-env": ["ADMIN_KEY", "ETCD_PASSWORD", "KEYRING"],
      "etcd-apisix-password": ["password"],
    });
    same(await seals(), { "routes/hello-others": "1", "ssls/site": "1" });
  });

  it("cannot be replaced in one step: it is refused, and nothing is changed", async () => {
    configure(["2"]);
    await refused([
      /apisix\.keyring: "2" comes first, but pod apisix-\S+ runs without it and could not open what it seals\./,
      /apisix\.adminKeys: "2" comes first, but pod apisix-\S+ runs without it and would refuse it\./,
      /etcd\.users: "1" was removed, but pod apisix-\S+ is signed in to etcd as it\./,
    ]);
  });

  it("get a second one: step 1", async () => {
    await putByHand();
    configure(["1", "2"]);
    const { create = [], update = [], ...others } = changes(await must("pulumi", up, env));
    same(
      { create: create.sort(), update: update.sort(), others },
      {
        create: [
          "RandomPassword apisix-admin-key-2",
          "RandomPassword apisix-keyring-2",
          "RandomPassword etcd-apisix-2",
        ],
        update: [
          ...["ConfigMap apisix-config", "Deployment apisix", "EtcdAuth etcd-auth"],
          ...["Secret apisix-env", "Secret etcd-apisix"],
        ],
        others: {},
      },
    );
    await isRight();
  });

  it("use it, with every object resealed: step 2", async () => {
    configure(["2", "1"]);
    await must("pulumi", up, env);
    await isRight();
    const { admin, store } = await outputs();
    equal(admin.key.key, "ADMIN_KEY_2");
    match(admin.sealedBy ?? "", /^2-/);
    same([store.user, store.password.key], ["apisix-2", "password-2"]);
    same(await seals(), { "routes/hello-others": "2", "ssls/by-hand": undefined, "ssls/site": "2" });
  });

  it("keep the first one while an object may need it", async () => {
    configure(["2"]);
    await refused([
      /apisix\.keyring: "1" was removed, but objects in the gateway are sealed with it, or may be: ssls\/by-hand without an owner\./,
    ]);
    await putByHand({ labels: { "mtls-everywhere.sealed": (await outputs()).admin.sealedBy } });
  });

  it("lose the first one: step 3", async () => {
    const { delete: gone = [], update = [], ...others } = changes(await must("pulumi", up, env));
    same(
      { gone: gone.sort(), update: update.sort(), others },
      {
        gone: ["RandomPassword apisix-admin-key", "RandomPassword apisix-keyring", "RandomPassword etcd-apisix"],
        update: [
          ...["ConfigMap apisix-config", "Deployment apisix", "EtcdAuth etcd-auth"],
          ...["Secret apisix-env", "Secret etcd-apisix"],
        ],
        others: {},
      },
    );
    await isRight();
    same(await entries(), {
      "apisix-env": ["ADMIN_KEY_2", "ETCD_PASSWORD_2", "KEYRING_2"],
      "etcd-apisix-password": ["password-2"],
    });
  });

  it("recover when their values are replaced under the same names with --replace (case 3)", async () => {
    const state = JSON.parse(await must("pulumi", ["stack", "export"])) as {
      deployment: { resources: { urn: string }[] };
    };
    const replaced = ["apisix-keyring-2", "apisix-admin-key-2", "etcd-apisix-2"].flatMap((name) => [
      "--replace",
      state.deployment.resources.find(({ urn }) => urn.endsWith(`:RandomPassword::${name}`))!.urn,
    ]);
    const before = (await outputs()).admin.sealedBy;
    const { update = [] } = changes(await must("pulumi", [...up, ...replaced], env));
    ok(update.includes("ApisixSsl site"), update.join());
    differs((await outputs()).admin.sealedBy, before);
    await isRight();
  });

  describe("and a tenant's pod, on the same platform, which", () =>
    attacksOfTenant(async (allow) => {
      const file = parse(readFileSync(env.PULUMI_OPTION_CONFIG_FILE, "utf8")) as { config: Record<string, object> };
      const gateway = { ...file.config["mtls-everywhere:gateway"], allow };
      const config = { ...file.config, "mtls-everywhere:gateway": gateway };
      const changed = inLabFolder("Pulumi.tenant.yaml");
      writeFileSync(changed, stringify({ ...file, config }));
      await must("pulumi", up, { PULUMI_OPTION_CONFIG_FILE: changed });
    }));

  describe("and etcd's members, on the same platform", () => stepsOfMembers(env));

  /** Writes the configuration with these names in each list. */
  function configure(names: readonly string[]): void {
    const dev = parse(readFileSync(inLabFolder("Pulumi.dev.yaml"), "utf8")) as { config: Record<string, object> };
    const merged = (key: string, values: object) => ({ [key]: { ...dev.config[key], ...values } });
    const config = {
      ...dev.config,
      ...merged("mtls-everywhere:apisix", { keyring: names, adminKeys: names }),
      ...merged("mtls-everywhere:etcd", { users: names }),
    };
    writeFileSync(env.PULUMI_OPTION_CONFIG_FILE, stringify({ ...dev, config }));
  }

  /** Every hop is right, and there is nothing left to do. */
  async function isRight(): Promise<void> {
    const { code, output } = await run(process.execPath, ["tools/verify/cli.ts"]);
    equal(code, 0, output);
    await must("pulumi", ["preview", "--expect-no-changes"], env);
  }

  async function refused(lines: readonly RegExp[]): Promise<void> {
    const { code, output } = await run("pulumi", ["preview"], env);
    differs(code, 0);
    for (const line of [/The keys of stack dev cannot be changed like this:/, ...lines, /Nothing was changed\./]) {
      match(output, line);
    }
  }

  async function outputs(): Promise<PlatformOutputs> {
    return JSON.parse(await must("pulumi", ["stack", "output", "--json"])) as PlatformOutputs;
  }

  /** What the Admin API says to the key that the outputs name. */
  async function inGateway<T>(use: (admin: AdminClient) => Promise<T>): Promise<T> {
    const cluster = new Cluster();
    try {
      return await use(await adminClient(cluster, (await outputs()).admin));
    } finally {
      await closeSessions(cluster);
    }
  }

  /** Another tool's certificate, which has only the labels given here. */
  async function putByHand(more: object = {}): Promise<void> {
    const { cert, key } = await authority.leaf({ dnsNames: ["by-hand.example"], usages: ["server auth"] });
    await inGateway((admin) => admin.put("ssls", "by-hand", { snis: ["by-hand.example"], cert, key, ...more }));
  }

  /** Names of the keys that seal, per object. */
  async function seals(): Promise<Record<string, string | undefined>> {
    const found: SealedObject[] = await inGateway(sealedObjects);
    return Object.fromEntries(found.map(({ object, key }) => [object, key] as const));
  }

  /** Entries of the Secrets that hold the keys. */
  async function entries(): Promise<Record<string, string[]>> {
    const api = new Cluster().config.makeApiClient(CoreV1Api);
    const names = ["apisix-env", "etcd-apisix-password"];
    const secrets = await Promise.all(names.map((name) => api.readNamespacedSecret({ name, namespace: "mtls" })));
    return Object.fromEntries(
      secrets.map(({ data = {} }, index) => [names[index]!, Object.keys(data).sort()] as const),
    );
  }
});
