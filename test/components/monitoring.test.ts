// What watches the certificates: Prometheus' own promtool evaluates each alert, firing and silent.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { stringify } from "yaml";

import {
  alerts,
  dashboard,
  dashboardConfigMap,
  metrics,
  podMonitor,
  prometheusRule,
  scrapePolicy,
} from "../../components/monitoringPlan.ts";
import { programPath } from "../support/programs.ts";

const target = { matchLabels: { "app.kubernetes.io/name": "apisix" }, port: "metrics", portNumber: 9464 };

describe("monitoring", () => {
  it("selects the gateway's pods and opens their metrics only to Prometheus", () => {
    assert.deepEqual(podMonitor("mtls", { release: "prometheus" }, target), {
      apiVersion: "monitoring.coreos.com/v1",
      kind: "PodMonitor",
      metadata: { name: "mtls-everywhere", namespace: "mtls", labels: { release: "prometheus" } },
      spec: {
        selector: { matchLabels: { "app.kubernetes.io/name": "apisix" } },
        podMetricsEndpoints: [{ port: "metrics" }],
      },
    });
    assert.deepEqual(scrapePolicy("mtls", "monitoring", target), {
      metadata: { name: "metrics", namespace: "mtls" },
      spec: {
        podSelector: { matchLabels: { "app.kubernetes.io/name": "apisix" } },
        policyTypes: ["Ingress"],
        ingress: [
          {
            from: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "monitoring" } } }],
            ports: [{ protocol: "TCP", port: 9464 }],
          },
        ],
      },
    });
  });

  it("reads only the renewer's metrics, and only in its own namespace", () => {
    const known = new Set<string>(Object.values(metrics));
    const expressions = [
      ...alerts("mtls").map(({ expr }) => expr),
      ...dashboard("mtls").panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ];
    for (const expr of expressions) {
      const used = [...expr.matchAll(/(mtls_\w+?)(_bucket)?(\{[^}]*\})/g)];
      assert.notEqual(used.length, 0, expr);
      for (const [, metric = "", , selector] of used) {
        assert.ok(known.has(metric), metric);
        assert.equal(selector, '{namespace="mtls"}', expr);
      }
    }
  });

  it("hands Grafana a dashboard that it can read", () => {
    const map = dashboardConfigMap("mtls", {});
    assert.deepEqual(map.metadata.labels, { grafana_dashboard: "1" });
    assert.deepEqual(JSON.parse(map.data["mtls-everywhere.json"]), dashboard("mtls"));
  });

  it("raises each alert when it should, and none on a healthy platform", async function () {
    this.timeout(60_000);
    const promtool = programPath("promtool");
    if (promtool === undefined) {
      console.log("      promtool is not in the cache: node lab/cli.ts programs .test-programs");
      return this.skip();
    }
    const folder = await mkdtemp(join(tmpdir(), "promtool-"));
    try {
      await writeFile(join(folder, "rules.yaml"), stringify(prometheusRule("mtls", {}).spec));
      await writeFile(
        join(folder, "tests.yaml"),
        stringify({
          rule_files: ["rules.yaml"],
          evaluation_interval: "1m",
          tests: [
            unitTest({}, []),
            unitTest({ [metrics.secretNotAfter]: 7 * hour, [metrics.secretNotBefore]: -17 * hour }, [
              "MtlsRenewalOverdue",
            ]),
            unitTest({ [metrics.servedNotAfter]: 10 * hour }, ["MtlsServedOlderThanSecret"]),
            unitTest({ [metrics.inAgreement]: 0 }, ["MtlsSecretNotServed"]),
            unitTest({ [metrics.watching]: 0 }, ["MtlsSecretNotWatched"]),
            unitTest({ [metrics.intermediateNotAfter]: 100 * hour }, ["MtlsIntermediateNeedsUp"]),
            unitTest({ [metrics.rootNotAfter]: 100 * hour }, ["MtlsRootInLastThird"]),
          ],
        }),
      );
      const { stdout } = await promisify(execFile)(promtool, ["check", "rules", "rules.yaml"], { cwd: folder });
      assert.match(stdout, new RegExp(`${alerts("mtls").length} rules found`));
      await promisify(execFile)(promtool, ["test", "rules", "tests.yaml"], { cwd: folder });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

const hour = 3_600;
/** promtool's clock starts at zero; alerts are checked after two hours. */
const well: Readonly<Record<string, number>> = {
  [metrics.secretNotBefore]: -hour,
  [metrics.secretNotAfter]: 23 * hour,
  [metrics.servedNotAfter]: 23 * hour,
  [metrics.inAgreement]: 1,
  [metrics.watching]: 1,
  [metrics.rootNotBefore]: -1_000 * hour,
  [metrics.rootNotAfter]: 9_000 * hour,
  [metrics.intermediateNotBefore]: -1_000 * hour,
  [metrics.intermediateNotAfter]: 9_000 * hour,
};

/** A platform with these values, and exactly the alerts that it has two hours later. */
function unitTest(differing: Readonly<Record<string, number>>, raised: readonly string[]) {
  const label: Readonly<Record<string, string>> = {
    [metrics.servedNotAfter]: 'object="site",name="upstream"',
    [metrics.rootNotBefore]: 'plane="edge",root="edge root"',
    [metrics.rootNotAfter]: 'plane="edge",root="edge root"',
  };
  const ofSecret = 'object="site",exported_namespace="mtls",secret="gateway"';
  return {
    interval: "1m",
    input_series: Object.entries({ ...well, ...differing }).map(([metric, value]) => ({
      series: `${metric}{namespace="mtls",pod="apisix-0",${label[metric] ?? ofSecret}}`,
      values: `${value}x180`,
    })),
    promql_expr_test: alerts("mtls").map(({ alert }) => ({
      expr: `count(ALERTS{alertname="${alert}",alertstate="firing"}) or vector(0)`,
      eval_time: "2h",
      exp_samples: [{ labels: "{}", value: raised.includes(alert) ? 1 : 0 }],
    })),
  };
}
