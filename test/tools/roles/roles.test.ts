// The rights of the platform's users: what no rule may ever say, and everything that a previewer may do.

import { deepEqual, equal, ok } from "node:assert/strict";

import { type Grant, objectsOf, platformGrants, type RolesArgs, type Rule } from "../../../tools/roles/roles.ts";

const args: RolesArgs = {
  namespace: "edge",
  certManagerNamespace: "pki",
  roots: "cluster",
  generations: ["1", "2"],
  sites: ["gateway", "orders"],
  upstreams: ["shop"],
  deployers: [{ kind: "Group", name: "deployers" }],
  previewers: [{ kind: "ServiceAccount", name: "ci", namespace: "builds" }],
};
const both = [args, { ...args, roots: "stateHeld" as const }, { ...args, roots: "both" as const }];

const of = (grants: readonly Grant[], who: string) => grants.filter(({ name }) => name.includes(who));
const changing = new Set([
  "create",
  "update",
  "patch",
  "delete",
  "deletecollection",
  "bind",
  "escalate",
  "impersonate",
]);
const resources = (rule: Rule) => rule.apiGroups.flatMap((group) => rule.resources.map((r) => `${group}/${r}`));

describe("roles of the platform's users", () => {
  it("have no wildcard, no rule without a verb, and no path to more rights", () => {
    for (const { rules } of both.flatMap((one) => platformGrants(one))) {
      for (const rule of rules) {
        const words = [...rule.apiGroups, ...rule.resources, ...rule.verbs, ...(rule.resourceNames ?? [])];
        equal(words.includes("*"), false, JSON.stringify(rule));
        ok(rule.verbs.length > 0 && rule.resources.length > 0 && rule.resourceNames?.length !== 0);
        equal(
          words.some((word) => /^(escalate|bind)$|impersonate|serviceaccounts\/token|pods\/exec/.test(word)),
          false,
        );
      }
    }
  });

  it("let a deployer grant rights only in the platform's namespace, and change no other role there", () => {
    const granting = both
      .flatMap((one) => platformGrants(one))
      .flatMap(({ name, namespace, rules }) =>
        rules
          .filter((rule) => rule.apiGroups.includes("rbac.authorization.k8s.io"))
          .map(({ verbs, resourceNames }) => ({ name, namespace, verbs: verbs.join(" "), resourceNames })),
      );
    const renewer = ["apisix-upstream-renewer", "gateway-renewer", "orders-renewer"];
    const deployer = { name: "edge-platform-deployer", namespace: "edge" };
    const each = [
      { ...deployer, verbs: "create list watch", resourceNames: undefined },
      { ...deployer, verbs: "get patch delete", resourceNames: renewer },
      { name: "edge-platform-previewer", namespace: "edge", verbs: "get", resourceNames: renewer },
    ];
    deepEqual(granting, [...each, ...each, ...each].slice(0, granting.length));
    ok(granting.length % 3 === 0 && granting.length > 0);
  });

  it("let a previewer change nothing", () => {
    const rules = both.flatMap((one) => of(platformGrants(one), "previewer")).flatMap((grant) => grant.rules);
    const changes = rules.filter((rule) => rule.verbs.some((verb) => changing.has(verb)));
    deepEqual(new Set(changes.flatMap(resources)), new Set(["/pods/portforward"]));
  });

  it("let a previewer read each site's leaf, with which its certificate is compared", () => {
    const [secrets] = of(platformGrants(args), "previewer")
      .filter(({ namespace }) => namespace === "edge")
      .flatMap(({ rules }) => rules.filter((rule) => resources(rule).includes("/secrets")));
    ok(args.sites.every((leaf) => secrets?.resourceNames?.includes(leaf)));
  });

  it("never let a previewer list Secrets, or read any in cert-manager's namespace but the platform's roots", () => {
    const grants = platformGrants(args);
    const secrets = (grant: Grant) => grant.rules.filter((rule) => resources(rule).includes("/secrets"));
    ok(
      of(grants, "previewer")
        .flatMap(secrets)
        .every((rule) => rule.resourceNames !== undefined),
    );
    const roots = {
      apiGroups: [""],
      resources: ["secrets"],
      resourceNames: ["edge-edge-root", "edge-upstream-root", "edge-edge-2-root", "edge-upstream-2-root"],
    };
    deepEqual(grants.filter(({ namespace }) => namespace === "pki").flatMap(secrets), [
      { ...roots, verbs: ["get", "delete"] },
      { ...roots, verbs: ["get"] },
    ]);
    deepEqual(grants.filter(({ namespace }) => namespace === undefined).flatMap(secrets), []);
  });

  it("let a deployer list and watch every kind that it creates, or the provider would wait forever", () => {
    for (const grant of both.flatMap((one) => of(platformGrants(one), "deployer"))) {
      const can = (verb: string) =>
        new Set(
          grant.rules
            .filter((rule) => rule.verbs.includes(verb) && rule.resourceNames === undefined)
            .flatMap(resources)
            .filter((resource) => !/portforward|certificaterequests|status/.test(resource)),
        );
      for (const resource of can("create")) {
        ok(can("list").has(resource) && can("watch").has(resource), `${grant.name} cannot follow ${resource}`);
      }
    }
  });

  it("give a previewer nothing in cert-manager's namespace if roots are in the state", () => {
    const places = (one: RolesArgs) => of(platformGrants(one), "previewer").map(({ namespace }) => namespace);
    deepEqual(places(args), ["shop", undefined, "edge", "pki", "default"]);
    deepEqual(places({ ...args, roots: "stateHeld" }), ["shop", undefined, "edge", "default"]);
  });

  it("let both look everywhere for those whom a rotation would cut off, and list nothing else", () => {
    for (const who of ["deployer", "previewer"]) {
      const everywhere = of(platformGrants(args), who).filter(({ namespace }) => namespace === undefined);
      const listed = everywhere.flatMap(({ rules }) => rules).filter(({ verbs }) => verbs.includes("list"));
      deepEqual(listed.filter(({ verbs }) => !verbs.includes("watch")).flatMap(resources), [
        "/configmaps",
        "/pods",
        "cert-manager.io/certificates",
        "cert-manager.io/certificaterequests",
      ]);
      deepEqual(
        of(platformGrants(args), who).flatMap(({ namespace, rules }) => (namespace === "shop" ? rules : [])),
        [{ apiGroups: [""], resources: ["pods/portforward"], verbs: ["get", "create"] }],
      );
    }
  });

  it("have distinct names if the platform shares cert-manager's namespace", () => {
    const grants = platformGrants({ ...args, namespace: "pki" });
    const names = grants.map(({ name, namespace }) => `${namespace}/${name}`);
    equal(new Set(names).size, names.length);
  });

  it("become a role and its binding, for users, groups and service accounts", () => {
    const grant: Grant = {
      name: "viewer",
      namespace: "edge",
      rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
      subjects: [...args.deployers, ...args.previewers],
    };
    const apiVersion = "rbac.authorization.k8s.io/v1";
    const apiGroup = "rbac.authorization.k8s.io";
    deepEqual(objectsOf(grant), {
      role: { apiVersion, kind: "Role", metadata: { name: "viewer", namespace: "edge" }, rules: grant.rules },
      binding: {
        apiVersion,
        kind: "RoleBinding",
        metadata: { name: "viewer", namespace: "edge" },
        roleRef: { apiGroup, kind: "Role", name: "viewer" },
        subjects: [
          { kind: "Group", name: "deployers", apiGroup },
          { kind: "ServiceAccount", name: "ci", namespace: "builds" },
        ],
      },
    });
  });
});
