// The renewer: a sidecar of every APISIX pod that keeps the gateway's server certificates in sync with their Secrets.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { AdminClient } from "@mtls-everywhere/apisix-admin";
import { handshake } from "@mtls-everywhere/cluster-access";

import { Journal } from "./journal.ts";
import { KubernetesApi } from "./kubernetesApi.ts";
import { serveMetrics } from "./metrics.ts";
import { Renewer } from "./renewer.ts";
import { SecretWatch } from "./secretWatch.ts";
import { ServedCertificates, shownFor } from "./served.ts";
import { readEnvironment, readSettings, type Settings } from "./settings.ts";

const settings = readSettings(process.argv[2] ?? "settings.json");
const { adminKey, sealedBy, apiHost, apiPort } = readEnvironment(process.env);
const journal = new Journal();
const api = new KubernetesApi(apiHost, apiPort, settings.account);
const served = new ServedCertificates((name) => shownFor(settings.gatewayPort, name), journal);
const admin = new AdminClient({
  connect: () => connectAdmin(settings.admin),
  key: adminKey,
  host: settings.admin.serverName,
  // The pauses between attempts are the renewer's own.
  deadline: 5_000,
});
const renewer = new Renewer({
  admin,
  sealedBy,
  follow: (ref, onChange) => new SecretWatch(api, ref, onChange),
  served,
  journal,
});

serveMetrics(settings.metricsPort, { renewer, served, roots: settings.roots });
// It has nothing to finish: the next one finds what was not renewed.
process.on("SIGTERM", () => process.exit(0));
journal.event("The renewer", `starts on Node.js ${process.version}.`);
void renewer.run(new AbortController().signal);

/** Its leaf and the roots are read for each connection: both change while it runs. */
async function connectAdmin({ port, serverName, trust, leaf }: Settings["admin"]) {
  const files = [trust, join(leaf, "tls.crt"), join(leaf, "tls.key")];
  const [ca = "", cert = "", key = ""] = await Promise.all(files.map((file) => readFile(file, "utf8")));
  return handshake({ host: "127.0.0.1", port }, serverName, { ca, pair: { cert, key } });
}
