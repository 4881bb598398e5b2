// The check of the gateway's certificate from elsewhere: what it accepts, and what it only warns of.

import { deepStrictEqual as same, match, strictEqual as equal } from "node:assert/strict";

import { parseConfig } from "../../config.ts";
import { issuerState } from "../../neighbours/foreignIssuer.ts";
import { checkGatewayCertificate, issuerProblem, secretProblems } from "../../neighbours/gatewayCertificate.ts";
import { clusterUid } from "../support/apisix.ts";
import { Authority } from "../support/authorities.ts";
import { clusterIssuer, issuerKinds } from "../support/certificateRows.ts";
import { KubernetesApi, LoopbackCluster } from "../support/kubernetesApi.ts";
import type { There } from "../support/neighbourRows.ts";

const host = "api.example.com";
const issuer = { name: "letsencrypt", kind: "ClusterIssuer", group: "cert-manager.io" };

describe("the gateway's certificate from elsewhere", () => {
  let api: KubernetesApi;
  let cluster: LoopbackCluster;
  beforeEach(async () => {
    api = await KubernetesApi.start(clusterUid);
    cluster = new LoopbackCluster({ kubeconfig: api.kubeconfig });
  });
  afterEach(() => api.stop());

  const there = (...objects: There[]) => {
    for (const [path, answer] of objects.flatMap((each) => Object.entries(each))) api.answers.set(path, answer);
  };
  const state = (key = issuer) => issuerState(cluster.config, key, "mtls", "gateway-external");
  const certificate = (issuerRef: object, ready: string): There => ({
    "/apis/cert-manager.io/v1/namespaces/mtls/certificates/gateway-external": {
      spec: { issuerRef },
      status: { conditions: [{ type: "Ready", status: ready }] },
    },
  });

  it("is accepted from an issuer that is ready, or that reports nothing", async () => {
    there(clusterIssuer("letsencrypt", "True", "registered"));
    equal(await state(), "ready");
    there({ "/apis/cert-manager.io/v1/clusterissuers/letsencrypt": {} });
    equal(await state(), "ready");
    const env = parseConfig(
      { trustDomain: "dev.internal", gateway: { host, certificate: { issuerRef: issuer } } },
      "dev",
    );
    await checkGatewayCertificate(cluster, env);
  });

  it("finds issuers of other groups in the version that they are served in, and those with a namespace in the platform's", async () => {
    const group = "awspca.cert-manager.io";
    there({
      "/apis": {
        groups: [
          { name: group, versions: [], preferredVersion: { groupVersion: `${group}/v1beta1`, version: "v1beta1" } },
        ],
      },
      [`/apis/${group}/v1beta1`]: { resources: [{ kind: "AWSPCAIssuer", name: "awspcaissuers", namespaced: true }] },
      [`/apis/${group}/v1beta1/namespaces/mtls/awspcaissuers/pca`]: {
        status: { conditions: [{ type: "Ready", status: "False", message: "no role" }] },
      },
    });
    same(await state({ group, kind: "AWSPCAIssuer", name: "pca" }), { notReady: "no role", issued: false });
    equal(await state({ group, kind: "AWSPCAClusterIssuer", name: "pca" }), "no such kind");
    equal(await state({ group: "elsewhere.example", kind: "AWSPCAIssuer", name: "pca" }), "no such kind");
  });

  it("goes on, with a warning, while the issuer that has issued it is not ready", async () => {
    there(clusterIssuer("letsencrypt", "False", "no account"), certificate(issuer, "True"));
    same(await state(), { notReady: "no account", issued: true });
    const { problem, warning } = issuerProblem(issuer, await state(), "mtls");
    equal(problem, undefined);
    match(warning ?? "", /is not ready: no account\. What it has issued is served until it expires\./);
    there(certificate(issuer, "False"));
    same(await state(), { notReady: "no account", issued: false });
    there(certificate({ ...issuer, name: "another" }, "True"));
    same(await state(), { notReady: "no account", issued: false });
  });

  it("goes on, with a warning, where the user may not read the issuer", async () => {
    there(issuerKinds, { "/apis/cert-manager.io/v1/clusterissuers/letsencrypt": 403 });
    same(issuerProblem(issuer, await state(), "mtls"), {
      warning: "The kubeconfig's user may not read ClusterIssuer letsencrypt: whether it can sign is not checked.",
    });
  });

  it("is accepted from a Secret whose chain ends at the roots that clients are given", async () => {
    const authority = await Authority.create("own");
    const intermediate = await authority.intermediate("middle");
    const { cert, key } = await intermediate.leaf({ dnsNames: ["*.example.com"], usages: ["server auth"] });
    same(secretProblems({ cert: cert + intermediate.root, key }, host, authority.root), []);
    match(
      secretProblems({ cert, key }, host, authority.root).join(),
      /does not end at a root in gateway\.certificate\.roots/,
    );
    const late = new Date("2101-01-01");
    match(
      secretProblems({ cert, key }, host, authority.root, late).join(),
      /expired at .*Put a right one into the Secret/,
    );
  });
});
