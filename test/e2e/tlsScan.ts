// Scans every listener of the platform with sslyze: through port-forwards, with a client certificate of its plane.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Cluster } from "../../cluster-access/cluster.ts";
import { type Objections, scan, sslyze } from "../../lab/sslyze.ts";
import type { PlatformOutputs } from "../../outputs.ts";
import type { Plane } from "../../vocabulary/planes.ts";
import type { PodPort, SecretRef } from "../../vocabulary/references.ts";

/** The objections to each plane's listener, scanned one after another, as each scan keeps a core busy. */
export async function scanListeners(
  cluster: Cluster,
  outputs: PlatformOutputs,
  client: SecretRef,
): Promise<Readonly<Record<Plane, Objections>>> {
  const { gateway, admin, store, upstream, serverCertificates } = outputs;
  const python = await sslyze();
  const scanned = (plane: Plane, pods: PodPort, presented: SecretRef) =>
    scanOne(python, cluster, pods, outputs.roots[plane], presented);
  return {
    etcd: await scanned("etcd", store, store.certificate),
    "etcd-peer": await scanned("etcd-peer", store.peer, serverCertificates!["etcd-peer"]),
    admin: await scanned("admin", admin, admin.certificate),
    edge: await scanned("edge", gateway, client),
    upstream: await scanned("upstream", upstream.pods, upstream.clientCertificate),
  };
}

async function scanOne(python: string, cluster: Cluster, pods: PodPort, root: string, presented: SecretRef) {
  const [pod] = await cluster.readyPods(pods.namespace, pods.selector);
  const server = createServer((client) => {
    client.on("error", () => undefined);
    cluster.open({ ...pods, pod: pod! }).then(
      (stream) => {
        stream.on("error", () => client.destroy());
        client.on("close", () => stream.destroy());
        client.pipe(stream).pipe(client);
      },
      () => client.destroy(),
    );
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const folder = mkdtempSync(join(tmpdir(), "scan-"));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  try {
    const pair = await cluster.keyPair(presented);
    const files = { roots: file("ca.crt", root), cert: file("tls.crt", pair.cert), key: file("tls.key", pair.key) };
    return await scan(python, { port: (server.address() as AddressInfo).port, serverName: pods.serverName, ...files });
  } finally {
    rmSync(folder, { recursive: true });
    server.close();
  }
}
