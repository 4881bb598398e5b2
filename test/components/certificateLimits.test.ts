// Who gets which leaf: the policies that approver-policy judges by, and the guard that leaves the decision to it.

import { deepStrictEqual as same, ok } from "node:assert/strict";

import { approvalGuard, approverValues, policyUse } from "../../components/approver.ts";
import { leafSpec } from "../../components/certificate.ts";
import { leafPolicy, planePolicies, policyName, policyObject } from "../../components/certificateLimitsPlan.ts";
import type { Plane } from "../../vocabulary/planes.ts";

const awaited = { "pulumi.com/waitFor": "condition=Ready" };
const identity = { trustDomain: "dev.example", namespace: "mtls", serviceAccount: "apisix" };
const authority = { algorithm: "ECDSA-P256", leafDuration: "24h" } as const;
const edge = { plane: "edge", kind: "ClusterIssuer", name: "mtls-edge", group: "cert-manager.io" } as const;
const etcd = { plane: "etcd", kind: "Issuer", name: "etcd", group: "cert-manager.io" } as const;

describe("the policy of a leaf", () => {
  it("allows a server's as it is declared, and must not lack anything", () => {
    const leaf = leafSpec("gateway", identity, { authority, usages: ["server auth"], dnsNames: ["upstream"] }, edge);
    same(leafPolicy(leaf, "mtls"), {
      allowed: {
        uris: { required: true, values: ["spiffe://dev.example/ns/mtls/sa/apisix"] },
        usages: ["digital signature", "server auth"],
        dnsNames: { required: true, values: ["upstream"] },
        commonName: { required: true, value: "apisix" },
        subject: {
          organizations: { required: true, values: ["dev.example"] },
          organizationalUnits: { required: true, values: ["mtls"] },
        },
      },
      constraints: { maxDuration: "24h" },
      selector: {
        issuerRef: { kind: "ClusterIssuer", name: "mtls-edge", group: "cert-manager.io" },
        namespace: { matchNames: ["mtls"] },
      },
    });
  });

  it("allows no subject and no names where the leaf has none: etcd would take a common name for a user", () => {
    const leaf = leafSpec("etcd-client", identity, { authority, usages: ["client auth"], emptySubject: true }, etcd);
    same(leafPolicy(leaf, "mtls"), {
      allowed: {
        uris: { required: true, values: ["spiffe://dev.example/ns/mtls/sa/apisix"] },
        usages: ["digital signature", "client auth"],
      },
      constraints: { maxDuration: "24h" },
      selector: {
        issuerRef: { kind: "Issuer", name: "etcd", group: "cert-manager.io" },
        namespace: { matchNames: ["mtls"] },
      },
    });
  });

  it("is waited for, and has a name that no other platform on the cluster uses", () => {
    same(policyObject(policyName("mtls", "gateway"), "spec"), {
      apiVersion: "policy.cert-manager.io/v1alpha1",
      kind: "CertificateRequestPolicy",
      metadata: { name: "mtls.gateway", annotations: awaited },
      spec: "spec",
    });
  });
});

describe("the policies of a plane", () => {
  const common = {
    ...{ trustDomain: "dev.example", namespace: "mtls", certManagerNamespace: "pki" },
    hosts: [
      { namespace: "shop", host: "shop.example" },
      { namespace: "web", host: "web.example" },
    ],
  };
  const uris = {
    required: true,
    validations: [
      { rule: "cr.namespace != 'mtls'", message: "namespace mtls gets only the leaves that the platform declares" },
      {
        rule: "self.matches('^spiffe://dev[.]example/ns/' + cr.namespace + '/sa/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
        message: "must be spiffe://dev.example/ns/<the request's own namespace>/sa/<service account>",
      },
    ],
  };
  const subject = {
    commonName: {
      validations: [
        {
          rule: "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
          message: "must be the name of a service account",
        },
      ],
    },
    subject: {
      organizations: { values: ["dev.example"] },
      organizationalUnits: {
        validations: [{ rule: "self == cr.namespace", message: "must be the request's own namespace" }],
      },
    },
  };
  const usages = (usage: string) => ["digital signature", "key encipherment", usage];
  const object = (name: string, allowed: object, issuer: string) => ({
    apiVersion: "policy.cert-manager.io/v1alpha1",
    kind: "CertificateRequestPolicy",
    metadata: { name, annotations: awaited },
    spec: {
      allowed,
      constraints: { maxDuration: "2160h" },
      selector: { issuerRef: { kind: "ClusterIssuer", name: issuer, group: "cert-manager.io" } },
    },
  });

  const checks = (name: string, issuer: object) => ({
    apiVersion: "policy.cert-manager.io/v1alpha1",
    kind: "CertificateRequestPolicy",
    metadata: { name, annotations: awaited },
    spec: {
      allowed: {
        uris: {
          required: true,
          values: ["spiffe://dev.example/ns/mtls/sa/verify"],
          validations: [
            { rule: "cr.name.startsWith('verify-')", message: "only for the requests of verify" },
            { rule: "cr.username != 'system:serviceaccount:pki:cert-manager'", message: "not for Certificates" },
          ],
        },
        usages: ["digital signature", "client auth", "server auth"],
        dnsNames: { validations: [{ rule: "self.endsWith('.invalid')", message: "must be a name that nobody has" }] },
        commonName: { value: "verify" },
        subject: { organizations: { values: ["dev.example"] }, organizationalUnits: { values: ["mtls"] } },
      },
      constraints: { maxDuration: "60s" },
      selector: {
        issuerRef: { ...issuer, group: "cert-manager.io" },
        namespace: { matchNames: ["mtls"] },
      },
    },
  });

  it("give the edge's clients and servers identities of their own namespace, and servers the hosts that are theirs", () => {
    const rule = "(cr.namespace + '/' + self) in ['shop/shop.example', 'web/web.example']";
    const message = "must be a host that gateway.hosts gives to the request's own namespace";
    const dnsNames = { required: true, validations: [{ rule, message }] };
    const issuer = { kind: "ClusterIssuer", name: "mtls-edge-2" } as const;
    same(planePolicies({ ...common, plane: "edge", name: "edge-2", issuer }), [
      object("mtls.edge-2.clients", { uris, usages: usages("client auth"), ...subject }, "mtls-edge-2"),
      object("mtls.edge-2.servers", { uris, usages: usages("server auth"), dnsNames, ...subject }, "mtls-edge-2"),
      checks("mtls.edge-2.verify", issuer),
    ]);
  });

  it("give the upstream plane's clients and servers identities of their own namespace, and servers names of their own Services", () => {
    const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    const rule =
      `self.matches('^${label}$') || self.matches('^${label}[.]' + cr.namespace + '$') || ` +
      `self.matches('^(${label}[.])+' + cr.namespace + '[.]svc([.]cluster[.]local)?$')`;
    const dnsNames = {
      required: true,
      validations: [{ rule, message: "must be the name of a Service in the request's own namespace" }],
    };
    const issuer = { kind: "ClusterIssuer", name: "mtls-upstream" } as const;
    same(planePolicies({ ...common, plane: "upstream", name: "upstream", issuer }), [
      object("mtls.upstream.clients", { uris, usages: usages("client auth"), ...subject }, "mtls-upstream"),
      object("mtls.upstream.servers", { uris, usages: usages("server auth"), dnsNames, ...subject }, "mtls-upstream"),
      checks("mtls.upstream.verify", issuer),
    ]);
  });

  it("give nobody but the checks anything on the others", () => {
    const of = (plane: Plane) =>
      planePolicies({ ...common, plane, name: plane, issuer: { kind: "Issuer", name: plane, namespace: "mtls" } });
    for (const plane of ["etcd", "etcd-peer", "admin"] as const) {
      same(of(plane), [checks(`mtls.${plane}.verify`, { kind: "Issuer", name: plane })]);
    }
  });
});

describe("the guard", () => {
  const issuers = [
    { kind: "Issuer", name: "etcd", namespace: "mtls" },
    { kind: "ClusterIssuer", name: "mtls-edge" },
  ] as const;
  const { policy, binding } = approvalGuard("mtls.certificate-requests", issuers, "pki");

  it("looks at everything that is done to requests to these issuers, and denies", () => {
    const { matchConstraints, matchConditions, failurePolicy } = policy.spec;
    const ofCertManager = { apiGroups: ["cert-manager.io"], apiVersions: ["v1"] };
    const all = ["certificaterequests", "certificaterequests/status"];
    same(
      [failurePolicy, matchConstraints.resourceRules],
      [
        "Fail",
        [
          { ...ofCertManager, operations: ["CREATE"], resources: ["certificaterequests"] },
          { ...ofCertManager, operations: ["UPDATE"], resources: all },
        ],
      ],
    );
    // Whichever issuer a request named before or names now: kind and group may be left out.
    const ref = "o.spec.issuerRef";
    same(
      matchConditions.map(({ expression }) => expression),
      [
        "[object, oldObject].exists(o, o != null && " +
          `(has(${ref}.group) && ${ref}.group != '' ? ${ref}.group : 'cert-manager.io') == 'cert-manager.io' && ` +
          `((has(${ref}.kind) && ${ref}.kind != '' ? ${ref}.kind : 'Issuer') == 'Issuer' ? ` +
          `'Issuer/' + o.metadata.namespace + '/' + ${ref}.name : 'ClusterIssuer//' + ${ref}.name) in ` +
          "['Issuer/mtls/etcd', 'ClusterIssuer//mtls-edge'])",
      ],
    );
    same(binding, {
      metadata: { name: "mtls.certificate-requests" },
      spec: { policyName: "mtls.certificate-requests", validationActions: ["Deny"] },
    });
  });

  it("leaves making requests to cert-manager, and approving them to approver-policy", () => {
    const names = "requests to Issuer mtls/etcd, ClusterIssuer mtls-edge";
    const rules = new Map(policy.spec.validations.map(({ message, expression }) => [message, expression]));
    same(
      [...rules.keys()],
      [
        "are made by cert-manager, for Certificates, or by whoever may use every policy",
        'must name the usage "server auth" or "client auth": a leaf with neither serves for both',
        "have at most 16384 bytes",
        "stay as they were made",
        "are approved by approver-policy alone",
        "have their status from cert-manager and approver-policy alone",
      ].map((rule) => `${names} ${rule}`),
    );
    const says = (rule: string) => rules.get(`${names} ${rule}`) ?? "";
    const [maker, judge] = ["cert-manager", "cert-manager-approver-policy"].map(
      (account) => `'system:serviceaccount:pki:${account}'`,
    );
    const makers = says("are made by cert-manager, for Certificates, or by whoever may use every policy");
    ok(makers.startsWith(`request.operation != 'CREATE' || request.userInfo.username == ${maker} || authorizer.`));
    ok(says("are approved by approver-policy alone").endsWith(` || request.userInfo.username == ${judge}`));
    ok(says("have their status from cert-manager and approver-policy alone").includes(`in [${maker}, ${judge}]`));
  });
});

describe("approver-policy's chart", () => {
  it("is installed with its CRD, which follows cert-manager's, and lets cert-manager use every policy", () => {
    same(approverValues({ keepCrds: false }), {
      crds: { enabled: true, keep: false },
      app: { metrics: { service: { enabled: false } }, webhook: { timeoutSeconds: 30 } },
      resources: { requests: { cpu: "50m", memory: "64Mi" } },
    });
    same(policyUse("pki"), {
      role: {
        metadata: { name: "cert-manager-policies" },
        rules: [{ apiGroups: ["policy.cert-manager.io"], resources: ["certificaterequestpolicies"], verbs: ["use"] }],
      },
      binding: {
        metadata: { name: "cert-manager-policies" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cert-manager-policies" },
        subjects: [{ kind: "ServiceAccount", name: "cert-manager", namespace: "pki" }],
      },
    });
  });
});
