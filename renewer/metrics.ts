// The renewer's metrics: what it knows at the moment that it is asked. Names and times, no keys and no certificates.

import { createServer, type Server } from "node:http";

import { agrees, endOf, type LiveCertificate } from "./decide.ts";
import { contentType, exposition, type Family, type Sample } from "./exposition.ts";
import type { Renewer } from "./renewer.ts";
import type { ServedCertificates } from "./served.ts";

/** Every family that is exported. */
export function families(renewer: Renewer, served: ServedCertificates): Family[] {
  const { live, histories, durations, lastSuccess } = renewer;
  const each = (value: (one: LiveCertificate) => number | undefined): Sample[] =>
    live.flatMap((one) => {
      const number = value(one);
      const labels = { object: one.id, namespace: one.secret.namespace, secret: one.secret.name };
      return number === undefined ? [] : [{ labels, value: number }];
    });
  const pairOf = (one: LiveCertificate) => {
    const { found } = renewer.sourceOf(one);
    return found.kind === "pair" ? found.pair : undefined;
  };
  const gauge = (name: string, help: string, samples: readonly Sample[]): Family => ({
    name: `mtls_renewer_${name}`,
    help,
    type: "gauge",
    samples,
  });
  const counter = (name: string, help: string, samples: readonly Sample[]): Family => ({
    ...gauge(name, help, samples),
    type: "counter",
  });
  return [
    gauge(
      "live_not_after_seconds",
      "End of the certificate that the Admin API holds, as a Unix time.",
      each(({ cert }) => seconds(endOf(cert))),
    ),
    gauge(
      "secret_not_after_seconds",
      "End of the certificate in the Secret, as a Unix time.",
      each((one) => seconds(endOf(pairOf(one)?.cert ?? ""))),
    ),
    gauge(
      "served_not_after_seconds",
      "End of the certificate that the gateway showed in its last handshake for the name, as a Unix time.",
      [...served.seen.values()].map(({ id, name, shown }) => ({
        labels: { object: id, name },
        value: Number(shown.notAfter) / 1_000,
      })),
    ),
    gauge(
      "in_agreement",
      "Whether the gateway holds the certificate of its Secret.",
      each((one) => {
        const pair = pairOf(one);
        return Number(pair !== undefined && agrees(one, pair));
      }),
    ),
    gauge(
      "watching",
      "Whether changes of the Secret are heard of as they happen.",
      each((one) => Number(renewer.sourceOf(one).watching)),
    ),
    counter(
      "renewals_total",
      "Certificates that this replica has set.",
      each(({ id }) => histories.get(id)?.renewals),
    ),
    counter(
      "renewal_failures_total",
      "Tries to set a certificate that the Admin API did not carry out.",
      each(({ id }) => histories.get(id)?.failures),
    ),
    {
      name: "mtls_renewer_renewal_duration_seconds",
      help: "From the moment that a Secret's change was seen to the Admin API's answer.",
      type: "histogram",
      samples: durations.samples(),
    },
    gauge(
      "last_success_timestamp_seconds",
      "When everything was last found, or set, right.",
      lastSuccess ? [{ value: Number(lastSuccess) / 1_000 }] : [],
    ),
  ];
}

/** Answers `/metrics` on every address: of keys and certificates there is nothing in it. */
export function serveMetrics(port: number, renewer: Renewer, served: ServedCertificates): Server {
  return createServer((request, response) => {
    if (request.method !== "GET" || request.url !== "/metrics") return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": contentType }).end(exposition(families(renewer, served)));
  }).listen(port);
}

function seconds(date: Date | undefined): number | undefined {
  return date && Number(date) / 1_000;
}
