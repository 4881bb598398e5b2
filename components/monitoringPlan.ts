// Plans what watches the platform's certificates: alerts and a scrape rule for the Prometheus operator, a dashboard for Grafana.

/** The renewer's metrics that the alerts and the dashboard read; times are Unix times in seconds. */
export const metrics = {
  secretNotBefore: "mtls_renewer_secret_not_before_seconds",
  secretNotAfter: "mtls_renewer_secret_not_after_seconds",
  servedNotAfter: "mtls_renewer_served_not_after_seconds",
  inAgreement: "mtls_renewer_in_agreement",
  watching: "mtls_renewer_watching",
  renewals: "mtls_renewer_renewals_total",
  failures: "mtls_renewer_renewal_failures_total",
  duration: "mtls_renewer_renewal_duration_seconds",
  rootNotBefore: "mtls_renewer_root_not_before_seconds",
  rootNotAfter: "mtls_renewer_root_not_after_seconds",
  intermediateNotBefore: "mtls_renewer_intermediate_not_before_seconds",
  intermediateNotAfter: "mtls_renewer_intermediate_not_after_seconds",
} as const;

/** The pods that export metrics, and their port by name and number. */
export interface MetricsPort {
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly port: string;
  readonly portNumber: number;
}

/** One alert, as the Prometheus operator takes it. */
export interface Alert {
  readonly alert: string;
  readonly expr: string;
  /** How long it must hold. */
  readonly for: string;
  readonly labels: { readonly severity: "warning" | "critical" };
  readonly annotations: { readonly summary: string; readonly description: string };
}

/** The alerts for the platform in a namespace. Each says what to do. */
export function alerts(namespace: string): readonly Alert[] {
  // `namespace` is also a label of the Secret: Prometheus keeps the pod's own under that name, the Secret's as `exported_namespace`.
  const of = (metric: string) => `${metric}{namespace=${JSON.stringify(namespace)}}`;
  /** Whether less than this share of a lifetime is left. */
  const leftBelow = (share: number, from: string, to: string) =>
    `(${of(to)} - time()) < ${share} * (${of(to)} - ${of(from)})`;
  const alert = (
    name: string,
    severity: Alert["labels"]["severity"],
    time: string,
    expr: string,
    summary: string,
    description: string,
  ): Alert => ({ alert: name, expr, for: time, labels: { severity }, annotations: { summary, description } });
  return [
    alert(
      "MtlsRenewalOverdue",
      "critical",
      "10m",
      // cert-manager renews when a third is left.
      leftBelow(0.3, metrics.secretNotBefore, metrics.secretNotAfter),
      "Secret {{ $labels.exported_namespace }}/{{ $labels.secret }} should have been renewed.",
      "cert-manager renews a leaf when a third of its life is left. Check: kubectl -n {{ $labels.exported_namespace }} describe certificate {{ $labels.secret }}. A Secret that cert-manager does not issue is its owner's to replace.",
    ),
    alert(
      "MtlsServedOlderThanSecret",
      "critical",
      "2m",
      `min by (namespace, pod, object) (${of(metrics.servedNotAfter)}) < on (namespace, pod, object) max by (namespace, pod, object) (${of(metrics.secretNotAfter)})`,
      "Pod {{ $labels.pod }} serves an older certificate for {{ $labels.object }} than its Secret holds.",
      "Check the renewer: kubectl -n {{ $labels.namespace }} logs {{ $labels.pod }} -c renewer. `pulumi up` also sets the certificate.",
    ),
    alert(
      "MtlsSecretNotServed",
      "warning",
      "5m",
      `${of(metrics.inAgreement)} == 0`,
      "The gateway's {{ $labels.object }} differs from what Secret {{ $labels.exported_namespace }}/{{ $labels.secret }} holds.",
      "The last good certificate stays in place. Find out why: kubectl -n {{ $labels.namespace }} logs {{ $labels.pod }} -c renewer",
    ),
    alert(
      "MtlsSecretNotWatched",
      "warning",
      "15m",
      `${of(metrics.watching)} == 0`,
      "Secret {{ $labels.exported_namespace }}/{{ $labels.secret }} is not being watched for changes.",
      "The API server is unreachable, or the renewer may not read that Secret. Find out why: kubectl -n {{ $labels.namespace }} logs {{ $labels.pod }} -c renewer",
    ),
    alert(
      "MtlsIntermediateNeedsUp",
      "warning",
      "1h",
      leftBelow(0.3, metrics.intermediateNotBefore, metrics.intermediateNotAfter),
      "The intermediate that issued {{ $labels.object }} is in its last third.",
      "Intermediates of state-held roots are renewed by `pulumi up`: run it for this stack.",
    ),
    alert(
      "MtlsRootInLastThird",
      "warning",
      "1h",
      leftBelow(1 / 3, metrics.rootNotBefore, metrics.rootNotAfter).replace(String(1 / 3), "1 / 3"),
      "The root {{ $labels.root }} of plane {{ $labels.plane }} is in its last third.",
      "Start a new generation of roots as docs/rotation.md says; `node tools/rotate/cli.ts status` shows where you are.",
    ),
  ];
}

/** Names of the objects, all in the platform's namespace. */
const name = "mtls-everywhere";

/** PrometheusRule, as the Prometheus operator takes it. */
export function prometheusRule(namespace: string, labels: Readonly<Record<string, string>>) {
  return {
    apiVersion: "monitoring.coreos.com/v1",
    kind: "PrometheusRule",
    metadata: { name, namespace, labels },
    spec: { groups: [{ name: "mtls-everywhere", rules: alerts(namespace) }] },
  };
}

/** Which pods' port to scrape. */
export function podMonitor(namespace: string, labels: Readonly<Record<string, string>>, target: MetricsPort) {
  return {
    apiVersion: "monitoring.coreos.com/v1",
    kind: "PodMonitor",
    metadata: { name, namespace, labels },
    spec: { selector: { matchLabels: target.matchLabels }, podMetricsEndpoints: [{ port: target.port }] },
  };
}

/** Ingress for Prometheus alone, to the metrics' port alone. */
export function scrapePolicy(namespace: string, from: string, target: MetricsPort) {
  return {
    metadata: { name: "metrics", namespace },
    spec: {
      podSelector: { matchLabels: target.matchLabels },
      policyTypes: ["Ingress"],
      ingress: [
        {
          from: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": from } } }],
          ports: [{ protocol: "TCP", port: target.portNumber }],
        },
      ],
    },
  };
}

/** ConfigMap that Grafana's sidecar picks up by its label. */
export function dashboardConfigMap(namespace: string, labels: Readonly<Record<string, string>>) {
  return {
    metadata: { name: `${name}-dashboard`, namespace, labels: { ...labels, grafana_dashboard: "1" } },
    data: { "mtls-everywhere.json": JSON.stringify(dashboard(namespace)) },
  };
}

/** The dashboard: what is served, until when, and how its renewals go. */
export function dashboard(namespace: string) {
  const of = (metric: string) => `${metric}{namespace=${JSON.stringify(namespace)}}`;
  const panels: readonly Panel[] = [
    {
      title: "Served certificates: time left",
      unit: "s",
      expr: `${of(metrics.servedNotAfter)} - time()`,
      legend: "{{object}} {{name}} {{pod}}",
    },
    {
      title: "Secrets: time left",
      unit: "s",
      expr: `${of(metrics.secretNotAfter)} - time()`,
      legend: "{{exported_namespace}}/{{secret}}",
    },
    {
      title: "Renewals",
      unit: "short",
      expr: `sum by (object) (increase(${of(metrics.renewals)}[1d]))`,
      legend: "{{object}}",
    },
    {
      title: "Failed renewals",
      unit: "short",
      expr: `sum by (object) (increase(${of(metrics.failures)}[1d]))`,
      legend: "{{object}}",
    },
    {
      title: "Renewal, from the Secret's change to the gateway's answer (p95)",
      unit: "s",
      expr: `histogram_quantile(0.95, sum by (le) (rate(${of(`${metrics.duration}_bucket`)}[1d])))`,
      legend: "p95",
    },
    {
      title: "Roots: time left",
      unit: "s",
      expr: `${of(metrics.rootNotAfter)} - time()`,
      legend: "{{plane}} {{root}}",
    },
    {
      title: "Intermediates: time left",
      unit: "s",
      expr: `${of(metrics.intermediateNotAfter)} - time()`,
      legend: "{{object}}",
    },
  ];
  return {
    uid: `mtls-${namespace}`.slice(0, 40),
    title: `mtls-everywhere: ${namespace}`,
    tags: ["mtls-everywhere"],
    schemaVersion: 39,
    time: { from: "now-2d", to: "now" },
    refresh: "1m",
    panels: panels.map(({ title, unit, expr, legend }, index) => ({
      id: index + 1,
      type: "timeseries",
      title,
      datasource: { type: "prometheus" },
      gridPos: { x: (index % 2) * 12, y: Math.floor(index / 2) * 8, w: 12, h: 8 },
      fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
      targets: [{ refId: "A", expr, legendFormat: legend }],
    })),
  };
}

interface Panel {
  readonly title: string;
  readonly unit: "s" | "short";
  readonly expr: string;
  readonly legend: string;
}
