/** The gateway's certificate from elsewhere, for docs/configuration.md: from an issuer and a Secret that clients trust already. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseOutputs } from "../../outputs.ts";
import type { Change, Values } from "./change.ts";
import { must, type RunningPlatform } from "./row.ts";

/** Another issuer with the edge plane's key, so that clients notice nothing: what changes is where the certificate comes from. */
const otherIssuer = {
  async prepare(platform: RunningPlatform): Promise<void> {
    const spec = { ca: { secretName: "mtls-edge-intermediate" } };
    await apply(platform, {
      apiVersion: "cert-manager.io/v1",
      kind: "ClusterIssuer",
      metadata: { name: "other" },
      spec,
    });
    await must(platform, "kubectl", "wait", "--for=condition=Ready", "clusterissuer/other", "--timeout=1m");
  },
  async tidy(platform: RunningPlatform): Promise<void> {
    await must(platform, "kubectl", "delete", "clusterissuer", "other");
  },
};

const copy = "public";

/** A Secret with what the gateway serves anyway. */
const otherSecret = {
  async prepare(platform: RunningPlatform): Promise<void> {
    const served = await must(platform, "kubectl", "get", "secret", "gateway", "-n", "mtls", "-o", "json");
    const { type, data } = JSON.parse(served) as { type: string; data: object };
    const metadata = { name: copy, namespace: "mtls" };
    await apply(platform, { apiVersion: "v1", kind: "Secret", metadata, type, data });
  },
  async tidy(platform: RunningPlatform): Promise<void> {
    await must(platform, "kubectl", "delete", "secret", copy, "-n", "mtls");
  },
};

async function apply(platform: RunningPlatform, object: object): Promise<void> {
  const file = join(platform.lab, "object.json");
  await writeFile(file, JSON.stringify(object));
  await must(platform, "kubectl", "apply", "-f", file);
}

/** The roots that clients of the platform trust already. */
async function edgeRoots(platform: RunningPlatform): Promise<string> {
  return parseOutputs(JSON.parse(await must(platform, "pulumi", "stack", "output", "--json"))).roots.edge;
}

const withRoots =
  (source: object) =>
  async (platform: RunningPlatform): Promise<Values> => ({
    "gateway.certificate": { ...source, roots: await edgeRoots(platform) },
  });

/** The rows of `gateway.certificate`. */
export const foreignCertificates: readonly Change[] = [
  {
    ...{ key: "gateway.certificate.issuerRef.name", to: '"other"', ...otherIssuer },
    values: withRoots({ issuerRef: { name: "other", kind: "ClusterIssuer" } }),
  },
  {
    ...{ key: "gateway.certificate.issuerRef.kind", to: '"Issuer", of which there is none', ...otherIssuer },
    values: withRoots({ issuerRef: { name: "other", kind: "Issuer" } }),
    refused: /Issuer other does not exist/,
  },
  {
    ...{ key: "gateway.certificate.issuerRef.group", to: '"example.com", of which there is no issuer', ...otherIssuer },
    values: withRoots({ issuerRef: { name: "other", kind: "ClusterIssuer", group: "example.com" } }),
    refused: /the cluster has no kind ClusterIssuer of example\.com/,
  },
  {
    ...{ key: "gateway.certificate.secretName", to: '"public"', ...otherSecret },
    values: withRoots({ secretName: copy }),
  },
  {
    ...{ key: "gateway.certificate.roots", to: "unset, where no public authority signed", ...otherSecret },
    values: { "gateway.certificate": { secretName: copy } },
    refused: /The chain does not end at a public authority's root/,
  },
];
