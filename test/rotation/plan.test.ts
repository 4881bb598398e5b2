// Whether a generation may become active or be retired: the objections, and that there are none if nobody would be cut off.

import { equal, match, ok } from "node:assert/strict";

import fc from "fast-check";

import type { Live, LiveLeaf, LiveObject, LivePod, LiveServer } from "../../rotation/live.ts";
import { activationRefusal, retirementRefusal, unpreparedRefusal } from "../../rotation/plan.ts";
import { type Plane, planes } from "../../vocabulary/planes.ts";

const digest = (plane: string, generation: string) => `${plane}:${generation}`;
const rootsOf = (...generations: string[]) =>
  Object.fromEntries(
    planes.map((plane) => [plane, Object.fromEntries(generations.map((name) => [name, [digest(plane, name)]]))]),
  ) as Record<Plane, Record<string, string[]>>;
const started = (of: readonly Plane[], ...generations: string[]) =>
  Object.fromEntries(of.map((plane) => [plane, generations.map((name) => digest(plane, name))]));

const pod = (name: string, of: readonly Plane[], ...generations: string[]): LivePod => ({
  ...{ namespace: "mtls", name, started: started(of, ...generations) },
});
const bundle = (namespace: string, plane: Plane, ...generations: string[]) => ({
  ...{ plane, namespace, name: `${plane}-trust`, roots: generations.map((name) => digest(plane, name)) },
});
const leaf = (name: string, wanted: string, issued = wanted): LiveLeaf => ({
  ...{ kind: "Certificate", namespace: "shop", name, plane: "upstream", wanted, issued },
});
const server = (name: string, generation?: string, unchecked?: string): LiveServer => ({
  ...{ namespace: "mtls", pod: name, port: 8443, plane: "upstream" },
  ...(generation === undefined ? {} : { generation }),
  ...(unchecked === undefined ? {} : { unchecked }),
});

const object = (id: string, generation: string, ...accepts: string[]): LiveObject => ({
  ...{ id, plane: "edge", generation, accepts: accepts.map((name) => digest("edge", name)) },
});

/** Generation 1 is active, 2 is prepared everywhere. */
const prepared: Live = {
  roots: rootsOf("1", "2"),
  bundles: [...planes.map((plane) => bundle("mtls", plane, "1", "2")), bundle("shop", "upstream", "1", "2")],
  pods: [pod("etcd-0", ["etcd", "etcd-peer"], "1", "2"), pod("apisix-a", ["etcd", "admin", "upstream"], "1", "2")],
  leaves: [leaf("gateway", "1")],
  servers: [server("upstream-a", "1")],
  objects: [object("site", "1", "1", "2")],
};
/** 2 is active, and no leaf of 1 is left. */
const activated: Live = {
  ...prepared,
  leaves: [leaf("gateway", "2")],
  servers: [server("upstream-a", "2")],
  objects: [object("site", "2", "1", "2")],
};
const second = { active: "2", trusted: ["1", "2"] };
const alone = { active: "2", trusted: ["2"] };

describe("a generation that was never prepared", () => {
  it("cannot become active, and the refusal names the bundles that lack it and the edit that prepares it", () => {
    const roots = { ...rootsOf("1"), edge: rootsOf("1", "2").edge };
    equal(
      unpreparedRefusal(roots, alone, "mtls"),
      'Generation "2" of the roots cannot become active: it was never prepared. ' +
        "Its roots are not in ConfigMap mtls/etcd-trust, ConfigMap mtls/etcd-peer-trust, ConfigMap mtls/admin-trust, ConfigMap mtls/upstream-trust.\n" +
        'Nothing was changed. Prepare it first: pki.root.active: "1", pki.root.trusted: ["1", "2"], then run pulumi up. ' +
        "Activate it in the update after that: docs/rotation.md.",
    );
  });

  it("may be the first one if nothing is up yet", () => {
    equal(unpreparedRefusal({}, alone, "mtls"), undefined);
  });
});

describe("an activation", () => {
  it("proceeds if every bundle and every pod has the root", () => {
    equal(activationRefusal(prepared, second), undefined);
  });

  it("names the bundles and pods that lack it, whoever owns them", () => {
    const live = {
      ...prepared,
      bundles: [...prepared.bundles, bundle("other", "upstream", "1")],
      pods: [...prepared.pods, pod("upstream-b", ["upstream"], "1"), { namespace: "shop", name: "silent" }],
      objects: [object("site", "1", "1", "2"), object("shop-site", "1", "1")],
    };
    equal(
      activationRefusal(live, second),
      'Generation "2" of the roots cannot become active yet. These lack its root and would refuse its leaves:\n' +
        "  ConfigMap other/upstream-trust lacks the upstream root\n" +
        "  Pod mtls/upstream-b started without the upstream root\n" +
        "  Pod shop/silent does not say which roots it started with\n" +
        "  The gateway's ssls/shop-site accepts clients without the edge root\n" +
        "Nothing was changed. Run pulumi up in the stacks that own these (in this one, with the previous active generation), then try again. " +
        "What is left: node tools/rotate/cli.ts status",
    );
  });

  it("does not wait for another platform's", () => {
    const foreign = { ...bundle("other", "upstream"), roots: ["of another platform"] };
    const theirs = { namespace: "other", name: "etcd-0", started: { etcd: ["of another platform"] } };
    const live = { ...prepared, bundles: [...prepared.bundles, foreign], pods: [...prepared.pods, theirs] };
    equal(activationRefusal(live, second), undefined);
  });

  it("waits for a gateway that does not answer", () => {
    match(
      activationRefusal({ ...prepared, objects: "ECONNREFUSED" }, second) ?? "",
      /\n  The gateway's certificates could not be checked: ECONNREFUSED\n/,
    );
  });

  it("may be reverted", () => {
    equal(activationRefusal(activated, { active: "1", trusted: ["1", "2"] }), undefined);
  });
});

describe("a retirement", () => {
  it("proceeds if no leaf, bundle or server needs the generation", () => {
    equal(retirementRefusal(activated, alone), undefined);
  });

  it("names who needs it, and what could not be checked", () => {
    const live: Live = {
      ...activated,
      objects: [object("site", "1", "1", "2")],
      bundles: [...activated.bundles, bundle("other", "upstream", "1")],
      leaves: [
        leaf("asks", "1"),
        leaf("holds", "2", "1"),
        { ...leaf("between", "2"), issued: undefined, unsure: true },
      ],
      servers: [
        server("upstream-a", "1"),
        server("upstream-b", undefined, "no answer within 10 s"),
        server("upstream-c"),
      ],
    };
    equal(
      retirementRefusal(live, alone),
      'Generation "1" of the roots cannot be retired yet. It is still needed, or may be:\n' +
        '  Certificate shop/asks names the issuer of generation "1"\n' +
        '  Certificate shop/holds still holds a leaf of generation "1"\n' +
        '  Certificate shop/between has not been issued by generation "2" yet\n' +
        '  Pod mtls/upstream-a serves a leaf of generation "1" on port 8443\n' +
        '  The gateway\'s ssls/site holds a leaf of generation "1"\n' +
        "  ConfigMap other/upstream-trust lacks the upstream root\n" +
        "  Pod mtls/upstream-b could not be checked on port 8443: no answer within 10 s\n" +
        'Nothing was changed. Keep "1" in pki.root.trusted until the stacks that own these have run pulumi up. ' +
        "What is left: node tools/rotate/cli.ts status",
    );
  });

  it("of a generation that was prepared but never active needs no check", () => {
    equal(retirementRefusal(prepared, { active: "1", trusted: ["1"] }), undefined);
  });

  it("proceeds only if everybody can do without it, whatever else there is", () => {
    const name = fc.constantFrom("1", "2");
    const any = fc.record({
      leaves: fc.array(fc.tuple(name, name), { maxLength: 4 }),
      servers: fc.array(fc.option(name, { nil: undefined }), { maxLength: 4 }),
      trusting: fc.array(fc.subarray(["1", "2"]), { maxLength: 4 }),
    });
    fc.assert(
      fc.property(any, ({ leaves, servers, trusting }) => {
        const live: Live = {
          roots: rootsOf("1", "2"),
          leaves: leaves.map(([wanted, issued], index) => leaf(`leaf-${index}`, wanted, issued)),
          servers: servers.map((generation, index) => server(`pod-${index}`, generation)),
          objects: [],
          bundles: trusting.map((generations, index) => bundle(`ns-${index}`, "upstream", ...generations)),
          pods: trusting.map((generations, index) => pod(`pod-${index}`, ["upstream"], ...generations)),
        };
        const free =
          leaves.every((both) => !both.includes("1")) &&
          !servers.includes("1") &&
          trusting.every((generations) => generations.length === 0 || generations.includes("2"));
        equal(retirementRefusal(live, alone) === undefined, free);
      }),
    );
  });

  it("is not one if every generation stays trusted", () => {
    ok(retirementRefusal({ ...activated, leaves: [leaf("asks", "1")] }, second) === undefined);
  });
});
