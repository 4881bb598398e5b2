// The wait for the gateway's external address. The table of wrong inputs has the failure, the e2e tests the warning.

import { Cluster } from "../../cluster-access/cluster.ts";
import { addressWithin } from "../../progress/address.ts";
import { KubernetesApi } from "../support/kubernetesApi.ts";

describe("an external address (case 26)", function () {
  this.timeout(30_000);

  it("ends the wait when it is assigned: a name, or an IP", async () => {
    const api = await KubernetesApi.start("uid");
    try {
      for (const ingress of [{ hostname: "lb.example" }, { ip: "192.0.2.1" }]) {
        api.answers.set("namespaces/mtls/services/apisix", { status: { loadBalancer: {} } });
        const waiting = addressWithin(
          { namespace: "mtls", name: "apisix" },
          new Cluster({ kubeconfig: api.kubeconfig }),
          "1m",
        );
        api.answers.set("namespaces/mtls/services/apisix", { status: { loadBalancer: { ingress: [ingress] } } });
        await waiting;
      }
    } finally {
      await api.stop();
    }
  });
});
