// The steps of rotating keys: what each list means, which changes are refused, and what the program plans.

/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-argument -- inputs are of any shape */

import { deepStrictEqual as same, ok, rejects, strictEqual as equal } from "node:assert/strict";

import fc from "fast-check";

import { firstKeys, type KeyNames, keysOf, startedWithKeys, suffixed, variableOf } from "../../components/keyNames.ts";
import { droppedFromKeyring, keyFaults, type RunningPod, sealFaults } from "../../components/keySteps.ts";
import { type Inputs, plan, type Planned } from "./mockedPlatform.ts";

const keys = (change: Partial<KeyNames> = {}): KeyNames => ({ ...firstKeys, ...change });
const pod = (change: Partial<KeyNames> = {}, name = "apisix-a", readySince?: number): RunningPod => ({
  ...{ name, keys: keys(change) },
  ...(readySince === undefined ? {} : { readySince }),
});

describe("a key's name", () => {
  it("is a suffix, except for the key that a platform had before keys had names", () => {
    same([suffixed("apisix-keyring", "1"), suffixed("apisix-keyring", "2")], ["apisix-keyring", "apisix-keyring-2"]);
    same([variableOf("KEYRING", "1"), variableOf("KEYRING", "2026-11")], ["KEYRING", "KEYRING_2026_11"]);
  });

  it("is found on pods that were started with it, and is the first on older ones", () => {
    const names = keys({ keyring: ["2", "1"], users: ["3"] });
    same(keysOf(startedWithKeys(names)), names);
    same(keysOf({ "mtls-everywhere/settings-digest": "of 0.1.0" }), firstKeys);
  });
});

describe("a change of keys", () => {
  const lists = ["keyring", "adminKeys", "users"] as const;

  it("is allowed by appending, moving first and dropping, each once the pods have taken the previous step", () => {
    const name = fc.stringMatching(/^[a-z0-9]{1,4}$/);
    const names = fc.uniqueArray(name, { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(fc.constantFrom(...lists), names, (list, [next = "", ...old]) => {
        const steps = [old, [...old, next], [next, ...old], [next]].map((names) => keys({ [list]: names }));
        for (const [index, wanted] of steps.entries()) {
          const running = steps.slice(Math.max(0, index - 1), index + 1).map((keys, pod) => ({ name: `${pod}`, keys }));
          same(keyFaults(running, wanted), []);
        }
      }),
    );
  });

  it("is refused if a running pod could not keep working", () => {
    const refused = (running: readonly RunningPod[], change: Partial<KeyNames>) => keyFaults(running, keys(change));
    same(refused([pod()], { keyring: ["2", "1"] }), [
      'apisix.keyring: "2" comes first, but pod apisix-a runs without it and could not open what it seals. ' +
        'Append it (["1", "2"]), run pulumi up, then move it to the front.',
    ]);
    same(refused([pod({ keyring: ["1", "2"] })], { keyring: ["2"] }), [
      'apisix.keyring: "1" was removed, but pod apisix-a seals with it. Put it back (["2", "1"]), run pulumi up, then drop it.',
    ]);
    same(refused([pod()], { adminKeys: ["2"] }), [
      'apisix.adminKeys: "2" comes first, but pod apisix-a runs without it and would refuse it. ' +
        'Append it (["1", "2"]), run pulumi up, then move it to the front.',
    ]);
    same(refused([pod({ adminKeys: ["1", "2"] })], { adminKeys: ["2"] }), [
      'apisix.adminKeys: "1" was removed, but pod apisix-a has it first, and other stacks may use it. ' +
        'Put it back (["2", "1"]), run pulumi up here and in the stacks that use this gateway, then drop it.',
    ]);
    same(refused([pod()], { users: ["2"] }), [
      'etcd.users: "1" was removed, but pod apisix-a is signed in to etcd as it. Put it back (["2", "1"]), run pulumi up, then drop it.',
    ]);
  });

  it("takes every pod into account, even one left by an interrupted update", () => {
    const appended = { keyring: ["1", "2"], adminKeys: ["1", "2"] };
    const moved = { keyring: ["2", "1"], adminKeys: ["2", "1"] };
    equal(keyFaults([pod(appended), pod({}, "apisix-b")], keys(moved)).length, 2);
    equal(keyFaults([pod(moved), pod(appended, "apisix-b")], keys({ keyring: ["2"], adminKeys: ["2"] })).length, 2);
    same(keyFaults([pod(moved), pod(appended, "apisix-b")], keys(moved)), []);
  });

  it("needs no extra step to put a new user first, who is created before the pods roll", () => {
    same(keyFaults([pod()], keys({ users: ["2", "1"] })), []);
  });

  it("may be anything if nothing runs yet", () => {
    same(keyFaults([], keys({ keyring: ["7"], adminKeys: ["8"], users: ["9"] })), []);
  });
});

describe("a key that leaves the keyring", () => {
  const running = [pod({ keyring: ["2", "1"] }, "apisix-a", 5_000), pod({ keyring: ["2", "1"] }, "apisix-b", 9_000)];
  const wanted = keys({ keyring: ["2"] });
  const faults = (objects: Parameters<typeof sealFaults>[1], pods = running) =>
    sealFaults(droppedFromKeyring(pods, wanted), objects, pods, wanted);

  it("may go if every object is sealed with another, or was written since all pods have that one first", () => {
    same(droppedFromKeyring(running, wanted), ["1"]);
    same(faults([]), []);
    same(
      faults([
        { object: "ssls/a", key: "2" },
        { object: "global_rules/b", written: 9_000 },
      ]),
      [],
    );
  });

  it("stays while an object needs it or may need it", () => {
    const objects = [
      { object: "ssls/site", owner: "mtls/dev/site", key: "2" },
      { object: "ssls/shop", owner: "shop/dev/shop", key: "1" },
      { object: "routes/legacy" },
      { object: "global_rules/early", written: 8_000 },
      { object: "plugin_metadata/azure-functions" },
    ];
    same(faults(objects), [
      'apisix.keyring: "1" was removed, but objects in the gateway are sealed with it, or may be: ' +
        "ssls/shop of shop/dev/shop, routes/legacy without an owner, global_rules/early without an owner, plugin_metadata/azure-functions without an owner. " +
        'Put it back: ["2", "1"]. To reseal an object, run pulumi up in the stack that owns it; PUT one without an owner again, with the output admin.sealedBy as its label mtls-everywhere.sealed. Then drop the key.',
    ]);
  });

  it("stays if a pod is not ready and an object's writer is unknown", () => {
    equal(faults([{ object: "global_rules/rule", written: 10_000 }], [...running, pod({}, "apisix-c")]).length, 1);
  });
});

describe("the platform with keys that rotate", () => {
  const moved = { keyring: ["2", "1"], adminKeys: ["2", "1"], users: ["2", "1"] };
  const changes = {
    apisix: { keyring: moved.keyring, adminKeys: moved.adminKeys },
    etcd: { users: moved.users, keepData: false },
  };
  const appended = { keyring: ["1", "2"], adminKeys: ["1", "2"], users: ["1", "2"] };
  let planned: Planned;
  before(async () => {
    planned = await plan("dev", changes, { running: [startedWithKeys(appended)] });
  });

  const inputsOf = (type: string, name: string): Inputs =>
    planned.resources.find((resource) => resource.type.endsWith(`:${type}`) && resource.name === name)?.inputs;

  it("makes a key for each name, and keeps those of the first name as they were", () => {
    const passwords = planned.resources.filter(({ type }) => type.endsWith(":RandomPassword")).map(({ name }) => name);
    same(passwords.sort(), [
      ...["apisix-admin-key", "apisix-admin-key-2", "apisix-keyring", "apisix-keyring-2"],
      ...["etcd-apisix", "etcd-apisix-2", "etcd-root"],
    ]);
    same(plain(inputsOf("Secret", "apisix-env").stringData), {
      ADMIN_KEY_2: "password-of-apisix-admin-key-2",
      ADMIN_KEY: "password-of-apisix-admin-key",
      KEYRING_2: "password-of-apisix-keyring-2",
      KEYRING: "password-of-apisix-keyring",
      ETCD_PASSWORD_2: "password-of-etcd-apisix-2",
      ETCD_PASSWORD: "password-of-etcd-apisix",
    });
    same(plain(inputsOf("Secret", "etcd-apisix").stringData), {
      "password-2": "password-of-etcd-apisix-2",
      password: "password-of-etcd-apisix",
    });
  });

  it("gives etcd both users, and APISIX the first", () => {
    const ref = (key: string) => ({ namespace: "mtls", name: "etcd-apisix-password", key });
    same(inputsOf("EtcdAuth", "etcd-auth").users, [
      { name: "apisix-2", password: ref("password-2"), prefix: "/apisix" },
      { name: "apisix", password: ref("password"), prefix: "/apisix" },
    ]);
    const { user, password } = planned.outputs["store"] as { user: string; password: object };
    same({ user, password }, { user: "apisix-2", password: ref("password-2") });
  });

  it("tells other stacks which key to use, and what seals", () => {
    const admin = planned.outputs["admin"] as { key: object; sealedBy: string };
    same(admin.key, { namespace: "mtls", name: "apisix-env", key: "ADMIN_KEY_2" });
    ok(/^2-[0-9a-f]{8}$/.test(admin.sealedBy), admin.sealedBy);
    equal(JSON.stringify(planned.outputs).includes("password-of"), false);
  });

  it("is refused before any part of it is registered if its pods lack a key that comes first", async () => {
    const registered: string[] = [];
    const onResource = (name: string) => registered.push(name);
    await rejects(plan("dev", changes, { running: [startedWithKeys(firstKeys)], onResource }), {
      message:
        "The keys of stack dev cannot be changed like this:\n" +
        '  apisix.keyring: "2" comes first, but pod pod-0 runs without it and could not open what it seals. Append it (["1", "2"]), run pulumi up, then move it to the front.\n' +
        '  apisix.adminKeys: "2" comes first, but pod pod-0 runs without it and would refuse it. Append it (["1", "2"]), run pulumi up, then move it to the front.\n' +
        "Nothing was changed. docs/keys.md has the steps.",
    });
    // What the state remembers may be registered before or after.
    same(
      registered.filter((name) => !/^(cluster|pki-)/.test(name)),
      [],
    );
  });
});

/** A secret's value, without the secret wrapper. */
function plain(value: Inputs): unknown {
  const secret = "4dabf18193072939515e22adb298388d";
  if (typeof value !== "object" || value === null) return value;
  if (secret in value) return plain(value.value);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}
