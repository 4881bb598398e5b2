// Generations of roots under Pulumi's mocks: what each keeps, how a change without a new one is refused, and what an overlap plans.

/* eslint-disable @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-return -- inputs are of any shape */

import { deepStrictEqual as same, equal, ok, rejects } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";
import fc from "fast-check";

import { digestOf } from "../../cluster-access/certificates.ts";
import { changeRefusal, type Generation, type Made, nameAfter } from "../../components/generations.ts";
import { planes } from "../../vocabulary/planes.ts";
import { plan, type Planned, rootPem, secondPem } from "./mockedPlatform.ts";

const made: Made = {
  ...{ kind: "cluster", algorithm: "ECDSA-P256", rootDuration: "87600h", trustDomain: "dev.mtls.internal" },
};
const generation = (name: string, change: Partial<Generation> = {}): Generation => ({
  ...{ ...made, name, active: name === "1", founder: name === "1", ...change },
});

describe("what a generation was made with", () => {
  it("cannot change, and the refusal shows the edit that works (case 5)", () => {
    equal(
      changeRefusal([generation("1")], { ...made, algorithm: "RSA-2048", trustDomain: "prod.mtls.internal" }),
      'The roots of generation "1" were created with pki.algorithm: ECDSA-P256, trustDomain: dev.mtls.internal, but the configuration asks for pki.algorithm: RSA-2048, trustDomain: prod.mtls.internal: a root cannot change.\n' +
        'Nothing was changed. Add a new generation along with the change, then run pulumi up: pki.root.active: "1", pki.root.trusted: ["1", "2"]. The steps after that are in docs/rotation.md. Or restore pki.algorithm: ECDSA-P256, trustDomain: dev.mtls.internal.',
    );
  });

  it("may differ from the configuration as long as another trusted generation matches it", () => {
    const wanted = { ...made, kind: "stateHeld" } as const;
    equal(changeRefusal([generation("1"), generation("2", { kind: "stateHeld" })], wanted), undefined);
    ok(changeRefusal([generation("1"), generation("2")], wanted));
  });

  it("is never refused if it matches the active one", () => {
    const any = fc.record({
      kind: fc.constantFrom("cluster", "stateHeld"),
      algorithm: fc.constantFrom("ECDSA-P256", "RSA-4096"),
      rootDuration: fc.constantFrom("100h", "200h"),
      trustDomain: fc.constantFrom("a", "b"),
    });
    fc.assert(
      fc.property(any, fc.array(any, { maxLength: 3 }), any, (active, others, wanted) => {
        const all = [generation("1", active), ...others.map((other, index) => generation(`x${index}`, other))];
        equal(changeRefusal(all, active), undefined);
        const known = [active, ...others].some((one) => JSON.stringify(one) === JSON.stringify(wanted));
        equal(changeRefusal(all, wanted) === undefined, known);
      }),
    );
  });

  it("is proposed under the next number", () => {
    const after = (...names: string[]) => nameAfter(names.map((name) => ({ name })));
    same([after("1"), after("2026", "2027"), after("first"), after("first", "2")], ["2", "2028", "2", "3"]);
  });
});

describe("an overlap of two generations", () => {
  const dev = (root: object, more: object = {}) =>
    plan(
      "dev",
      { pki: { root: { kind: "cluster", ...root }, ...more } },
      { records: { "pki-founder": "1", "pki-generation-1": made } },
    );
  const object = ({ resources }: Planned, kind: string, name: string) =>
    resources.find(({ inputs }) => inputs.kind === kind && inputs.metadata.name === name)!.inputs;
  const issuerOf = (planned: Planned, leaf: string) =>
    object(planned, "Certificate", leaf).spec.issuerRef.name as string;

  it("has a root and an issuer for each, and both roots in every bundle and pod", async () => {
    const planned = await dev({ active: "1", trusted: ["1", "2"] });
    const named = planned.resources.filter(({ inputs }) => /(^|-)2(-|$)/.test(inputs.metadata?.name ?? ""));
    same(
      named.map(({ name, inputs }) => `${name}: ${inputs.kind} ${inputs.metadata.name}`).sort(),
      planes
        .flatMap((plane) => {
          const shared = plane === "edge" || plane === "upstream";
          const [issuer, prefix] = shared ? ["ClusterIssuer", `mtls-${plane}-2`] : ["Issuer", `${plane}-2`];
          return [
            `pki-${plane}-2-issuer: ${issuer} ${prefix}`,
            `pki-${plane}-2-self-signed: ${issuer} ${prefix}-self-signed`,
            `pki-${plane}-2-root: Certificate ${prefix}-root`,
          ];
        })
        .sort(),
    );
    for (const plane of planes) {
      const { metadata, data } = object(planned, "ConfigMap", `${plane}-trust`);
      same(
        { labels: metadata.labels["mtls-everywhere/trust"], generations: metadata.annotations, data },
        {
          labels: plane,
          generations: {
            "mtls-everywhere/generations": JSON.stringify({ "1": [digestOf(rootPem)], "2": [digestOf(secondPem)] }),
          },
          data: { "ca.crt": rootPem + secondPem },
        },
      );
    }
    const both = `${digestOf(rootPem)},${digestOf(secondPem)}`;
    const started = (kind: string, name: string) =>
      Object.fromEntries(
        Object.entries(object(planned, kind, name).spec.template.metadata.annotations as object).filter(([key]) =>
          key.includes("/roots."),
        ),
      );
    same(
      [started("StatefulSet", "etcd"), started("Deployment", "apisix"), started("Deployment", "upstream")],
      [["etcd", "etcd-peer"], ["etcd", "admin", "upstream"], ["upstream"]].map((read) =>
        Object.fromEntries(read.map((plane) => [`mtls-everywhere/roots.${plane}`, both])),
      ),
    );
    same(issuerOf(planned, "etcd-server"), "etcd");
  });

  it("lets the active one sign every leaf", async () => {
    const planned = await dev({ active: "2", trusted: ["1", "2"] });
    same(
      ["etcd-server", "etcd-peer", "apisix-admin", "gateway", "upstream-server"].map((leaf) => issuerOf(planned, leaf)),
      ["etcd-2", "etcd-peer-2", "admin-2", "mtls-edge-2", "mtls-upstream-2"],
    );
    same((planned.outputs["generations"] as { active: string; trusted: string[] }).active, "2");
  });

  it("lets each keep what it was made with, and leaves follow the active one", async () => {
    const changes = { algorithm: "RSA-2048" };
    const prepared = await dev({ active: "1", trusted: ["1", "2"] }, changes);
    const keyOf = (planned: Planned, name: string) =>
      object(planned, "Certificate", name).spec.privateKey.algorithm as string;
    const keys = (planned: Planned) => ["etcd-root", "etcd-2-root", "gateway"].map((name) => keyOf(planned, name));
    same(keys(prepared), ["ECDSA", "RSA", "ECDSA"]);
    same(keys(await dev({ active: "2", trusted: ["1", "2"] }, changes)), ["ECDSA", "RSA", "RSA"]);
  });

  it("lets nginx accept the gateway under each one's trust domain", async () => {
    const planned = await plan(
      "dev",
      { trustDomain: "new.internal", pki: { root: { kind: "cluster", active: "1", trusted: ["1", "2"] } } },
      { records: { "pki-founder": "1", "pki-generation-1": made } },
    );
    const config = object(planned, "ConfigMap", "upstream-config").data["nginx.conf"] as string;
    same(config.match(/"CN=.*" 1;/g), [
      '"CN=apisix,OU=mtls,O=dev.mtls.internal" 1;',
      '"CN=apisix,OU=mtls,O=new.internal" 1;',
    ]);
    same(planned.outputs["trustDomain"], "dev.mtls.internal");
  });

  it("of different kinds has the old root in the cluster and the new one in the state (case 22)", async () => {
    const planned = await plan(
      "dev",
      { pki: { root: { kind: "stateHeld", active: "2", trusted: ["1", "2"] } } },
      { records: { "pki-founder": "1", "pki-generation-1": made } },
    );
    const names = planned.resources.filter(({ name }) => name.startsWith("pki-etcd-") && !name.includes("peer"));
    same(names.map(({ type, name }) => `${type.split(":").at(-1)} ${name}`).sort(), [
      "CertRequest pki-etcd-2-intermediate-request",
      "Certificate pki-etcd-root",
      "ConfigMap pki-etcd-trust",
      ...["Issuer pki-etcd-2-issuer", "Issuer pki-etcd-issuer", "Issuer pki-etcd-self-signed"],
      "LocallySignedCert pki-etcd-2-intermediate",
      ...["PrivateKey pki-etcd-2-intermediate-key", "PrivateKey pki-etcd-root-2-key"],
      "RootCertificates pki-etcd-roots",
      "RootKey pki-etcd-root-key",
      "Secret pki-etcd-2-intermediate",
      "SelfSignedCert pki-etcd-root-2",
      "TrustBundle pki-etcd-trust",
    ]);
  });

  it("plans nothing if a value changes without a new generation", async () => {
    const registered: string[] = [];
    await rejects(
      plan(
        "dev",
        { pki: { algorithm: "RSA-2048" } },
        { records: { "pki-generation-1": made }, onResource: (name) => registered.push(name) },
      ),
      (error: Error) =>
        pulumi.RunError.isInstance(error) && /^The roots of generation "1" were created with/.test(error.message),
    );
    // Its provider may already be registered; it creates nothing.
    same(registered.filter((name) => name !== "cluster").sort(), ["cluster-uid", "pki-founder", "pki-generation-1"]);
  });
});
