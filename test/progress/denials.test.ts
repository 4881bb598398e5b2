// What an update says about certificate requests that were denied.

import { deepStrictEqual as same, ok } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { Cluster } from "../../cluster-access/cluster.ts";
import { until } from "../../cluster-access/until.ts";
import { denials, watchDenials } from "../../progress/denials.ts";
import { KubernetesApi } from "../support/kubernetesApi.ts";

describe("a certificate request", () => {
  const rest =
    "The update keeps waiting until it times out. Press Ctrl-C to end it, then ask for what docs/threat-model.md allows a namespace, " +
    "or have the platform's owner list the host in gateway.hosts.";
  const metadata = { namespace: "shop", name: "site-1" };
  const denied = { type: "Denied", message: "No policy approved this request" };

  it("that was denied is named by its Certificate, with the reason", () => {
    const annotations = { "cert-manager.io/certificate-name": "site" };
    const conditions = [{ type: "Ready", message: "not yet" }, denied];
    same(denials({ metadata: { ...metadata, annotations }, status: { conditions } }), [
      `Certificate shop/site was denied: No policy approved this request. ${rest}`,
    ]);
  });

  it("of nobody's Certificate is named itself", () => {
    same(denials({ metadata, status: { conditions: [denied] } }), [
      `CertificateRequest shop/site-1 was denied: No policy approved this request. ${rest}`,
    ]);
  });

  it("is reported once while an update runs", async function () {
    this.timeout(20_000); // it looks every three seconds
    const mocks = { newResource: () => ({ id: "", state: {} }), call: () => ({}) };
    await pulumi.runtime.setMocks(mocks, "shop", "dev", false);
    const api = await KubernetesApi.start("here");
    const path = "/apis/cert-manager.io/v1/namespaces/shop/certificaterequests";
    let looked = 0;
    api.answers.set(path, {
      get items() {
        looked += 1;
        return [{ metadata, status: { conditions: [denied] } }];
      },
    });
    const lines: string[] = [];
    const { warn } = console;
    console.warn = (line: string) => lines.push(line);
    try {
      watchDenials(new Cluster({ kubeconfig: api.kubeconfig }), "shop");
      ok(await until(async () => looked > 1, { within: 15_000, pause: 100 }));
    } finally {
      console.warn = warn;
      api.stop();
    }
    same(lines, [
      `warning: [runtime] CertificateRequest shop/site-1 was denied: No policy approved this request. ${rest}`,
    ]);
  });

  it("is not named while nobody has decided, or once it is approved", () => {
    same(denials({ metadata }), []);
    same(denials({ metadata, status: { conditions: [{ type: "Approved", message: "Approved" }] } }), []);
  });
});
