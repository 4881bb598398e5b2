// Roots held in Pulumi's state, three etcd members and two gateway pods: verified, with only the declared keys in the state.

import {
  deepStrictEqual as same,
  match,
  notStrictEqual as differs,
  ok,
  strictEqual as equal,
} from "node:assert/strict";
import { randomInt } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

import { parse, stringify } from "yaml";

import { Cluster } from "../../cluster-access/cluster.ts";
import { configuration } from "../../lab/proofs/configuration.ts";
import { draws } from "../../lab/proofs/prove.ts";
import type { RunningPlatform } from "../../lab/proofs/row.ts";
import { findPrivateKeys } from "../../policy/keySearch.ts";
import type { Report } from "../../tools/verify/run.ts";
import { planes } from "../../vocabulary/planes.ts";
import { eventsIn, inLabFolder, inOwnLab, labFolder, must, run } from "./ownLab.ts";
import { Rotation } from "./rotation.ts";

const minute = 60_000;

describe("the platform with roots held in Pulumi's state", function () {
  this.timeout(5 * minute);
  this.slow(1);
  const config = { PULUMI_OPTION_CONFIG_FILE: inLabFolder("Pulumi.held.yaml") };

  inOwnLab(async () => {
    const dev = parse(readFileSync(inLabFolder("Pulumi.dev.yaml"), "utf8")) as { config: Record<string, object> };
    const root = { kind: "stateHeld", active: "2026" };
    const held = {
      ...dev,
      config: {
        ...dev.config,
        "mtls-everywhere:pki": { root },
        "mtls-everywhere:etcd": { ...dev.config["mtls-everywhere:etcd"], replicas: 3 },
        "mtls-everywhere:apisix": { replicas: 2 },
      },
    };
    writeFileSync(config.PULUMI_OPTION_CONFIG_FILE, stringify(held));
  });

  it("comes up and passes every check of every hop", async () => {
    const { code, output } = await run("pulumi", ["up", "--yes", "--skip-preview"], config);
    equal(code, 0, output);
    const verified = await run(process.execPath, ["tools/verify/cli.ts"]);
    equal(verified.code, 0, verified.output);
    console.log(verified.stdout.replaceAll(/^/gm, "      "));
    const { checks } = JSON.parse(await must(process.execPath, ["tools/verify/cli.ts", "--json"])) as Report;
    same(
      checks.filter((check) => !check.ok),
      [],
    );
  });

  it("has the declared authorities' keys in its state, and no others", async () => {
    const search = ["test/state/privateKeys.ts"];
    const undeclared = await run(process.execPath, search);
    differs(undeclared.code, 0, "the search found no keys at all");
    // The root's key, and the intermediate's with the Secret that takes it into the cluster.
    const declared = planes.flatMap((plane) =>
      [`pki-${plane}-root-2026`, `pki-${plane}-intermediate`].flatMap((name) => ["--allow", `::${name}`]),
    );
    const { code, output } = await run(process.execPath, [...search, ...declared]);
    equal(code, 0, output);
    match(output, / 0 undeclared private keys/);
  });

  it("has nothing to change, and says no key or password in the events of the update", async () => {
    const text = await must("pulumi", ["up", "--yes", "--skip-preview", "--expect-no-changes", "--json"], config);
    const events = eventsIn(text);
    const answered = /RPC finished: resource:etcd-root/;
    ok(
      events.some(({ diagnosticEvent }) => answered.test(diagnosticEvent?.message ?? "")),
      "the SDK says nothing of what the engine answers any more",
    );
    same(findPrivateKeys(events), []);
    const secrets = await must("kubectl", ["--namespace", "mtls", "get", "secrets", "--output", "json"]);
    const { items } = JSON.parse(secrets) as { items: { type: string; data: Record<string, string> }[] };
    const values = items.flatMap(({ type, data }) => (type === "Opaque" ? Object.values(data) : []));
    ok(values.length >= 3);
    const plain = values.map((value) => Buffer.from(value, "base64").toString("utf8"));
    same(
      [...values, ...plain].filter((value) => text.includes(value)),
      [],
    );
  });

  it("takes or refuses any change of its configuration, and no request fails", async function () {
    this.timeout(12 * minute);
    const platform: RunningPlatform = {
      ...{ cluster: new Cluster(), lab: labFolder, settings: config.PULUMI_OPTION_CONFIG_FILE },
      run: (command, args) => run(command, args, config),
    };
    // Three by chance: `make proofs` takes each.
    const seed = randomInt(2 ** 31);
    for (const row of draws(await configuration(platform), 3, seed)) {
      console.log(`      ${row.name} (seed ${seed})`);
      await row.act(platform);
      await row.expect(platform);
    }
    const { code, output } = await run("pulumi", ["preview", "--expect-no-changes"], config);
    equal(code, 0, output);
  });

  it("rotates its roots to another trust domain, and forgets the old keys without being asked", async function () {
    this.timeout(12 * minute);
    const rotation = new Rotation("Pulumi.rotated.yaml");
    const root = (active: string, ...trusted: string[]) =>
      rotation.edit(
        "Pulumi.held.yaml",
        { root: { kind: "stateHeld", active, trusted } },
        { "mtls-everywhere:trustDomain": "new.mtls.internal" },
      );
    root("2026", "2026", "2027");
    await rotation.goesTo("prepared");
    root("2027", "2026", "2027");
    await rotation.goesTo("retirable");
    root("2027", "2027");
    await rotation.goesTo("settled");
    const state = await must("pulumi", ["stack", "export"]);
    same([...new Set(state.match(/pki-[a-z-]+-root-20\d\d-key/g))].sort(), [
      ...planes.map((plane) => `pki-${plane}-root-2027-key`).sort(),
    ]);
    writeFileSync(config.PULUMI_OPTION_CONFIG_FILE, readFileSync(inLabFolder("Pulumi.rotated.yaml"), "utf8"));
  });

  it("refuses to lose its roots until they are unprotected", async () => {
    const refused = await run("pulumi", ["destroy", "--yes", "--skip-preview"], config);
    differs(refused.code, 0);
    match(refused.output, /protect/);
    await must("pulumi", ["state", "unprotect", "--all", "--yes"]);
    const { code, output } = await run("pulumi", ["destroy", "--yes", "--skip-preview"], config);
    equal(code, 0, output);
  });
});
