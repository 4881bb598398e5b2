// What a cluster administrator sets up once so that the platform's own stack needs few rights: cert-manager, the platform's
// namespace, and roles for those who deploy it and those who preview it.

import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { CertManager } from "../../components/certManager.ts";
import { platformNamespace } from "../../components/namespace.ts";
import { certManager } from "../../config.ts";
import { objectsOf, platformGrants, rootKinds, type Subject } from "./roles.ts";

const config = new pulumi.Config();
const namespace = config.get("namespace") ?? "mtls";
const chart = certManager.parse(config.getObject("certManager") ?? {});
const subjects = (key: string, group: string) =>
  config.getObject<Subject[]>(key) ?? [{ kind: "Group" as const, name: group }];

const home = new k8s.core.v1.Namespace("namespace", platformNamespace(namespace));
const certs = new CertManager("cert-manager", chart);

const grants = platformGrants({
  namespace,
  certManagerNamespace: certs.clusterResourceNamespace,
  roots: rootKinds.parse(config.get("roots") ?? "cluster"),
  generations: config.getObject<string[]>("generations") ?? ["1"],
  sites: config.getObject<string[]>("sites") ?? ["gateway"],
  upstreams: config.getObject<string[]>("upstreams") ?? [],
  deployers: subjects("deployers", "mtls-platform-deployers"),
  previewers: subjects("previewers", "mtls-platform-previewers"),
});
for (const grant of grants) {
  const { role, binding } = objectsOf(grant);
  const name = `${grant.name}-${grant.namespace ?? "cluster"}`;
  const [Role, Binding] =
    grant.namespace === undefined
      ? [k8s.rbac.v1.ClusterRole, k8s.rbac.v1.ClusterRoleBinding]
      : [k8s.rbac.v1.Role, k8s.rbac.v1.RoleBinding];
  const { metadata } = role;
  const made = new Role(name, { metadata, rules: role.rules }, { dependsOn: [home, certs] });
  new Binding(name, { metadata, roleRef: binding.roleRef, subjects: binding.subjects }, { dependsOn: made });
}
