/** What every server behind the gateway says to a leaf whose root is no longer trusted. */
import type { Request } from "@mtls-everywhere/cluster-access";
import type { TrustRef } from "@mtls-everywhere/vocabulary/planes";
import type { PodPort, SecretRef } from "@mtls-everywhere/vocabulary/references";

import { classify, observedText } from "../../tools/verify/check.ts";
import { observe } from "../../tools/verify/http.ts";
import type { Scene } from "./scene.ts";
import type { Pair } from "./view.ts";

/** A client leaf from each plane. */
export type OldPairs = Readonly<Record<"edge" | "admin" | "etcd" | "peer" | "upstream", Pair>>;

/** Whether this is what a server says that does not trust the certificate's root: an alert, or nginx's page. */
export const isRefusal = (said: string): boolean =>
  /^alert (unknown_ca|bad_certificate|certificate_unknown) |^400 The SSL certificate error/.test(said);

/** The current leaves. */
export function oldPairsOf(scene: Scene): OldPairs {
  const { view, outputs, listeners } = scene;
  const of = ({ namespace, name }: SecretRef) => view.pair(`${namespace}/${name}`);
  const peer = listeners.find((listener) => scene.hopOf(listener) === "etcd peers") ?? "";
  return {
    edge: view.pair(`${outputs.namespace}/client-curl`),
    admin: of(outputs.admin.certificate),
    etcd: of(outputs.store.certificate),
    peer: view.pair(scene.secretOf(peer) ?? ""),
    upstream: of(outputs.upstream.clientCertificate),
  };
}

/** What each server says, by what was tried. */
export async function refusalsOf(scene: Scene, old: OldPairs): Promise<Record<string, string>> {
  const { admin, store, upstream, trust } = scene.outputs;
  const key = await scene.platform.cluster.secretValue(admin.key);
  const routes: Request = { path: "/apisix/admin/routes", headers: { "x-api-key": key } };
  const tried: readonly (readonly [string, ...Question])[] = [
    ["Admin API", admin, trust.admin, old.admin, routes],
    ["etcd", store, trust.etcd, old.etcd, { path: "/version" }],
    ["etcd peers", store.peer, trust["etcd-peer"], old.peer, { path: "/version" }],
    ["upstream", upstream.pods, trust.upstream, old.upstream, { path: "/" }],
  ];
  const said = tried.map(async ([hop, ...question]) => [
    `certificate of the old root, ${hop}`,
    await ask(scene, ...question),
  ]);
  return Object.fromEntries(await Promise.all(said)) as Record<string, string>;
}

type Question = readonly [to: PodPort, trust: TrustRef, pair: Pair, request: Request];

/** A broken tunnel proves nothing: try again. */
async function ask(scene: Scene, ...[to, trust, pair, request]: Question): Promise<string> {
  const client = { ca: scene.view.bundle(trust.name, trust.key), pair, minVersion: "TLSv1.3" } as const;
  for (let tries = 1; ; tries++) {
    const signal = AbortSignal.timeout(10_000);
    const said = await observe(scene.platform.cluster, to, client, request, signal).catch(classify);
    if (said.kind !== "failed" || tries === 5) return observedText(said);
  }
}
