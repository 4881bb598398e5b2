// Optional: what watches the platform's certificates, for clusters with the Prometheus operator and Grafana.

import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

import { dashboardConfigMap, type MetricsPort, podMonitor, prometheusRule, scrapePolicy } from "./monitoringPlan.ts";

/** Who watches whom. */
export interface MonitoringArgs {
  /** Namespace of the platform. */
  readonly namespace: string;
  /** Namespace of Prometheus, whose pods alone reach the metrics. */
  readonly prometheus: string;
  /** Labels that your Prometheus and Grafana select by. */
  readonly labels: Readonly<Record<string, string>>;
  /** Who exports the metrics: `apisix.metrics`. */
  readonly target: MetricsPort;
}

/** What watches the platform's certificates, for clusters with the Prometheus operator: alerts, a scrape rule, its network edge and a dashboard. */
export class Monitoring extends pulumi.ComponentResource {
  constructor(name: string, args: MonitoringArgs, opts?: pulumi.ComponentResourceOptions) {
    super("mtls:platform:Monitoring", name, {}, opts);
    const child = { parent: this };
    const { namespace, labels, target } = args;
    new k8s.apiextensions.CustomResource(`${name}-rules`, prometheusRule(namespace, labels), child);
    new k8s.apiextensions.CustomResource(`${name}-pods`, podMonitor(namespace, labels, target), child);
    new k8s.networking.v1.NetworkPolicy(`${name}-metrics`, scrapePolicy(namespace, args.prometheus, target), child);
    new k8s.core.v1.ConfigMap(`${name}-dashboard`, dashboardConfigMap(namespace, labels), child);
    this.registerOutputs();
  }
}
