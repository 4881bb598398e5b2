/** Every object of a running platform, deleted by hand: what the next `up --refresh` does. */
import { adminClient, closeSessions, type KindName } from "@mtls-everywhere/apisix-admin";
import { parseOutputs } from "../../outputs.ts";
import { readUrn } from "../../urn.ts";
import { must, type Row, type RunningPlatform } from "./row.ts";
import { repaired } from "./up.ts";

/** The fields of a resource in the state that identify its object. */
interface Resource {
  readonly urn: string;
  readonly type: string;
  readonly custom?: boolean;
  readonly external?: boolean;
  readonly id?: string;
  readonly inputs?: { readonly spec?: { readonly secretName?: string } };
  readonly outputs?: { readonly apiVersion?: string; readonly kind?: string };
}

/** An object of the cluster, as kubectl names it. */
interface Named {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** The rows of a running platform: one for each object, and combinations that have happened in practice. */
export async function deletions(platform: RunningPlatform): Promise<Row[]> {
  const { deployment } = JSON.parse(await must(platform, "pulumi", "stack", "export")) as {
    deployment: { resources: readonly Resource[] };
  };
  const { resources } = deployment;
  const named = (kind: string, name: string) =>
    resources.flatMap(objectOf).find((object) => kindOf(object) === kind && object.name === name)!;
  const claims = await claimsOf(platform);
  const [gateway, store] = [named("Deployment", "apisix"), named("StatefulSet", "etcd")];
  const policies = resources.flatMap(objectOf).filter((object) => kindOf(object) === policyKind);
  const storeAndData = [store, ...claims.map(({ claim }) => claim)];
  const rows = [
    ...resources.flatMap(ownRow),
    ...resources
      .flatMap(issuedSecret)
      .map((object) => deletion("which cert-manager issued", [object], isQuiet(object))),
    ...resources.flatMap(releaseRecord).map((object) => deletion("Helm's record", [object])),
    ...resources.flatMap(gatewayObject),
    ...claims.map(({ claim, pod }) => row(`${titleOf(claim)}, with its pod`, (on) => lose(on, claim, pod))),
    row(`every ${policyKind}`, async (on) => {
      for (const policy of policies) await remove(on, policy);
    }),
    deletion("and Secret mtls/apisix-env", [gateway, named("Secret", "apisix-env")]),
    deletion("with its claims and their data", storeAndData),
    deletion("with StatefulSet mtls/etcd, its claims and their data", [gateway, ...storeAndData]),
  ];
  return [...rows.filter(({ own }) => own === undefined), ...rows.filter(({ own }) => own !== undefined)];
}

const row = (name: string, act: Row["act"]): Row => ({ name, act, expect: repaired });

/** Deletes objects, of which the first gives the row its name. */
function deletion(what: string, objects: readonly Named[], quiet = false): Row {
  const [first] = objects;
  const remark = what === "" ? "" : `${what.startsWith("and ") ? "" : ","} ${what}`;
  const one = row(`${titleOf(first!)}${remark}`, async (platform) => {
    for (const object of objects) await remove(platform, object);
  });
  return quiet ? { ...one, own: `${kindOf(first!)} ${first!.name}` } : one;
}

/** One for each leaf and more, all alike: they have a single row. */
const policyKind = "CertificateRequestPolicy";

function ownRow(resource: Resource): Row[] {
  const own = objectOf(resource).filter((object) => kindOf(object) !== policyKind);
  return own.map((object) => {
    const { name } = readUrn(resource.urn);
    const one = deletion("", [object]);
    return isQuiet(object) ? { ...one, own: `${kindOf(object)} ${name}` } : one;
  });
}

/** Whether nothing else changes when it is recreated. A new root does more: every bundle adds it. */
function isQuiet(object: Named): boolean {
  const kinds = ["Certificate", "ClusterIssuer", "ConfigMap", "Issuer", "NetworkPolicy", "Role", "RoleBinding"];
  const cluster = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
  ];
  const quiet = [...kinds, ...cluster, "PodDisruptionBudget", "Service", "ServiceAccount"];
  const issued = kindOf(object) === "Secret" && !/-(env|password)$/.test(object.name);
  return (quiet.includes(kindOf(object)) || issued) && !object.name.endsWith("-root");
}

/** As a person would. An object that was deleted along with another may be gone already. */
async function remove(platform: RunningPlatform, object: Named, ...more: string[]): Promise<void> {
  const { kind, namespace, name } = object;
  const where = namespace === "" ? [] : ["--namespace", namespace];
  const how = ["--ignore-not-found", "--timeout=2m", ...more];
  await must(platform, "kubectl", "delete", kind, name, ...where, ...how);
}

/** A claim stays as long as a pod uses it. */
async function lose(platform: RunningPlatform, claim: Named, pod: Named): Promise<void> {
  await remove(platform, claim, "--wait=false");
  await remove(platform, pod);
}

function objectOf({ type, custom, external, id = "", outputs }: Resource): Named[] {
  const { apiVersion = "", kind } = outputs ?? {};
  if (!custom || external || !type.startsWith("kubernetes:") || kind === undefined) return [];
  return [object(apiVersion, kind, id)];
}

/** The Secret of a Certificate. */
function issuedSecret({ type, id = "", inputs }: Resource): Named[] {
  const secret = inputs?.spec?.secretName;
  if (type !== "kubernetes:cert-manager.io/v1:Certificate" || secret === undefined) return [];
  return [object("v1", "Secret", `${id.split("/")[0]}/${secret}`)];
}

function releaseRecord({ type, id = "" }: Resource): Named[] {
  const [namespace, name] = id.split("/");
  if (type !== "kubernetes:helm.sh/v3:Release") return [];
  return [object("v1", "Secret", `${namespace}/sh.helm.release.v1.${name}.v1`)];
}

function object(apiVersion: string, kind: string, id: string): Named {
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  const [namespace = "", name = ""] = id.includes("/") ? id.split("/") : ["", id];
  return { kind: group === "" ? kind : `${kind}.${version}.${group}`, namespace, name };
}

const kindOf = ({ kind }: Named) => kind.split(".")[0]!;

function titleOf(object: Named): string {
  const { namespace, name } = object;
  return `${kindOf(object)} ${namespace === "" ? "" : `${namespace}/`}${name}`;
}

/** Kinds of the gateway's objects, by the last part of their resources' type; an upstream is deleted with its route. */
const kinds: Readonly<Record<string, readonly KindName[]>> = {
  ApisixRefusal: ["routes"],
  ApisixRoute: ["routes"],
  ApisixUpstream: ["routes", "upstreams"],
  ApisixSsl: ["ssls"],
};

function gatewayObject({ urn, id = "" }: Resource): Row[] {
  const { types } = readUrn(urn);
  const kind = types.at(-1)!.split(":").at(-1)!;
  const goes = kinds[kind];
  if (goes === undefined) return [];
  const act = async (platform: RunningPlatform) => {
    const outputs = parseOutputs(JSON.parse(await must(platform, "pulumi", "stack", "output", "--json")));
    const client = await adminClient(platform.cluster, outputs.admin);
    try {
      for (const each of goes) await client.delete(each, id);
    } finally {
      await closeSessions(platform.cluster);
    }
  };
  return [row(`${kind} ${id}${goes.length > 1 ? ", with its route" : ""}`, act)];
}

async function claimsOf(platform: RunningPlatform): Promise<{ claim: Named; pod: Named }[]> {
  const names = await must(
    platform,
    "kubectl",
    "get",
    "pvc",
    "--all-namespaces",
    "-o",
    "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}",
  );
  return names
    .trim()
    .split(/\s+/)
    .filter((id) => id !== "")
    .map((id) => ({
      claim: object("v1", "PersistentVolumeClaim", id),
      pod: object("v1", "Pod", id.replace("/data-", "/")),
    }));
}
