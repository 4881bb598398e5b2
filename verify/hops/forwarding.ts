// The gateway to upstreams: APISIX refuses a server with the wrong name, or of the wrong plane.

import { setTimeout as sleep } from "node:timers/promises";

import type { KeyPair } from "@mtls-everywhere/apisix-admin/access";

import type { PlatformOutputs } from "../../outputs.ts";
import type { Check, Observation } from "../check.ts";
import { type Access, observe } from "../http.ts";
import type { Material } from "../material.ts";
import type { TemporaryObjects } from "../temporary.ts";

/** A PUT is live after some 14 ms; a gateway that needs longer than this is not healthy. */
const liveWithin = 3_000;
/** Each new connection may reach another worker: so many equal answers in a row count as settled. */
const settledAfter = 3;
const pause = 100;

/**
 * Each check puts a temporary route in front of a server. The first is the control: it shows that such a route reaches
 * its server, so that the refusals of the others come from verification alone.
 */
export function forwardingChecks(
  outputs: PlatformOutputs,
  material: Material,
  access: Access,
  temporary: TemporaryObjects,
): readonly Check[] {
  const { gateway, upstream, store } = outputs;
  const host = new URL(gateway.url).hostname;

  const through = async (name: string, server: Server, signal: AbortSignal): Promise<Observation> => {
    const path = `/.verify/${temporary.id}/${name}`;
    const certificate = await temporary.put("ssls", name, {
      type: "client",
      cert: server.pair.cert,
      key: server.pair.key,
    });
    await temporary.put("routes", name, {
      uri: path,
      hosts: [host],
      upstream: {
        type: "roundrobin",
        scheme: "https",
        nodes: { [server.node]: 1 },
        pass_host: "rewrite",
        upstream_host: server.name,
        tls: { client_cert_id: certificate },
      },
    });
    const client = { ca: material.roots.edge, pair: material.edge };
    return settled(() => observe(access, gateway, client, { path, headers: { host } }, signal), signal);
  };

  const node = `${upstream.node.host}:${upstream.node.port}`;
  const member = new URL(store.endpoints[0] ?? "");
  return [
    {
      hop: "gateway to upstream",
      case: "server with the right name and plane",
      // The path is the temporary route's: whether the upstream has a page there does not matter.
      expect: [
        { kind: "answer", status: 200 },
        { kind: "answer", status: 404 },
      ],
      observe: (signal) =>
        through("control", { node, name: upstream.serverName, pair: material.apisixUpstream }, signal),
    },
    {
      hop: "gateway to upstream",
      case: "server with another name",
      expect: [{ kind: "answer", status: 502 }],
      // A name never used before: no pooled connection can answer for it.
      observe: (signal) =>
        through("name", { node, name: `${temporary.id}.invalid`, pair: material.apisixUpstream }, signal),
    },
    {
      hop: "gateway to upstream",
      case: "server of the etcd plane",
      expect: [{ kind: "answer", status: 502 }],
      // etcd itself, with a certificate that it takes: without verification it would answer 404.
      observe: (signal) =>
        through(
          "plane",
          { node: `${member.hostname}:${member.port || 443}`, name: member.hostname, pair: material.etcd },
          signal,
        ),
    },
  ];
}

interface Server {
  readonly node: string;
  readonly name: string;
  /** What APISIX presents to it. */
  readonly pair: KeyPair;
}

/** The answer once it no longer changes; the gateway's own "no such route" is not yet an answer. */
async function settled(attempt: () => Promise<Observation>, signal: AbortSignal): Promise<Observation> {
  const end = Date.now() + liveWithin;
  let last: Observation | undefined;
  let equal = 0;
  while (equal < settledAfter) {
    const next = await attempt();
    const live = !(next.kind === "answer" && next.words.includes("Route Not Found"));
    equal = live && sameAnswer(last, next) ? equal + 1 : live ? 1 : 0;
    last = next;
    if (equal < settledAfter) {
      if (Date.now() > end) {
        const reason = live
          ? "the temporary route's answers keep changing"
          : "the temporary route does not become live";
        return { kind: "failed", reason: `${reason} (${liveWithin / 1000} s)` };
      }
      await sleep(pause, undefined, { signal });
    }
  }
  return last as Observation;
}

function sameAnswer(one: Observation | undefined, other: Observation): boolean {
  return one?.kind === "answer" && other.kind === "answer" && one.status === other.status;
}
