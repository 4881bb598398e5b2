// The renewer's metrics: what it knows at the moment of a scrape. Names and times, no keys and no certificates.

import type { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";

import { certificatesOf, rootOf, selfSigned } from "@mtls-everywhere/cluster-access";

import { agrees, endOf, type LiveCertificate } from "./decide.ts";
import { contentType, exposition, type Family, type Sample } from "./exposition.ts";
import type { Renewer } from "./renewer.ts";
import type { ServedCertificates } from "./served.ts";

/** What the metrics are about. */
export interface Subjects {
  readonly renewer: Renewer;
  readonly served: ServedCertificates;
  /** Files with the roots of each plane, by its name. */
  readonly roots: Readonly<Record<string, string>>;
}

/** Every family that is exported. */
export function families({ renewer, served, roots }: Subjects): Family[] {
  const trusted = rootsOf(roots);
  const { live, histories, durations, lastSuccess } = renewer;
  const each = (value: (one: LiveCertificate) => number | undefined): Sample[] =>
    live.flatMap((one) => {
      const number = value(one);
      return number === undefined ? [] : [{ labels: labelsOf(one), value: number }];
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
  /** When each certificate becomes valid and expires, as two families. */
  const lifetimes = (what: string, name: string, certificates: readonly Labelled[]): Family[] => [
    gauge(
      `${name}_not_before_seconds`,
      `Start of validity of ${what}, as a Unix time.`,
      certificates.map(({ labels, certificate }) => ({ labels, value: Number(certificate.validFromDate) / 1_000 })),
    ),
    gauge(
      `${name}_not_after_seconds`,
      `Expiry of ${what}, as a Unix time.`,
      certificates.map(({ labels, certificate }) => ({ labels, value: Number(certificate.validToDate) / 1_000 })),
    ),
  ];
  const counter = (name: string, help: string, samples: readonly Sample[]): Family => ({
    ...gauge(name, help, samples),
    type: "counter",
  });
  return [
    gauge(
      "live_not_after_seconds",
      "Expiry of the certificate that the Admin API holds, as a Unix time.",
      each(({ cert }) => seconds(endOf(cert))),
    ),
    ...lifetimes(
      "the certificate in the Secret",
      "secret",
      live.flatMap((one) =>
        chainOf(pairOf(one)?.cert)
          .slice(0, 1)
          .map((certificate) => ({ labels: labelsOf(one), certificate })),
      ),
    ),
    ...lifetimes(
      "the platform's intermediate that issued the certificate in the Secret",
      "intermediate",
      live.flatMap((one) =>
        chainOf(pairOf(one)?.cert)
          .slice(1)
          .filter((certificate) => !selfSigned(certificate) && isOurs(certificate, trusted))
          .map((certificate) => ({ labels: labelsOf(one), certificate })),
      ),
    ),
    ...lifetimes("a root that a plane trusts", "root", trusted),
    gauge(
      "served_not_after_seconds",
      "Expiry of the certificate that the gateway showed in its last handshake for the name, as a Unix time.",
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
      "Whether changes to the Secret are seen as they happen.",
      each((one) => Number(renewer.sourceOf(one).watching)),
    ),
    counter(
      "renewals_total",
      "Certificates that this replica has set.",
      each(({ id }) => histories.get(id)?.renewals),
    ),
    counter(
      "renewal_failures_total",
      "Failed attempts to set a certificate.",
      each(({ id }) => histories.get(id)?.failures),
    ),
    {
      name: "mtls_renewer_renewal_duration_seconds",
      help: "Time from seeing a Secret's change to the Admin API's answer.",
      type: "histogram",
      samples: durations.samples(),
    },
    gauge(
      "last_success_timestamp_seconds",
      "When everything was last found, or made, right, as a Unix time.",
      lastSuccess ? [{ value: Number(lastSuccess) / 1_000 }] : [],
    ),
  ];
}

/** Serves `/metrics` on every address: there are no keys and no certificates in it. */
export function serveMetrics(port: number, subjects: Subjects): Server {
  return createServer((request, response) => {
    if (request.method !== "GET" || request.url !== "/metrics") return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": contentType }).end(exposition(families(subjects)));
  }).listen(port);
}

function seconds(date: Date | undefined): number | undefined {
  return date && Number(date) / 1_000;
}

interface Labelled {
  readonly labels: Readonly<Record<string, string>>;
  readonly certificate: X509Certificate;
}

function labelsOf({ id, secret }: LiveCertificate): Readonly<Record<string, string>> {
  return { object: id, namespace: secret.namespace, secret: secret.name };
}

/** Read at each scrape: an overlap of roots changes the files while the pod runs. */
function rootsOf(files: Subjects["roots"]): Labelled[] {
  return Object.entries(files).flatMap(([plane, file]) =>
    chainOf(textOf(file)).map((certificate) => ({
      labels: { plane, root: certificate.fingerprint256.replaceAll(":", "").slice(0, 8).toLowerCase() },
      certificate,
    })),
  );
}

/** Whether `pulumi up` can renew it: an intermediate of another authority is that one's care. */
function isOurs(intermediate: X509Certificate, roots: readonly Labelled[]): boolean {
  return (
    rootOf(
      [intermediate],
      roots.map(({ certificate }) => certificate),
    ) !== undefined
  );
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined; // A bundle that does not exist yet has no expiry.
  }
}

function chainOf(pem: string | undefined): X509Certificate[] {
  try {
    return certificatesOf(pem ?? "");
  } catch {
    return [];
  }
}
