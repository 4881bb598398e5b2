// The gateway to upstreams: APISIX refuses a server with the wrong name or from the wrong plane.

import { type Access, type Answer, certificatesOf, type KeyPair, until } from "@mtls-everywhere/cluster-access";

import type { PlatformOutputs } from "../../../outputs.ts";
import { type Check, type Observation, observedText } from "../check.ts";
import { ask, observed } from "../http.ts";
import type { Material } from "../material.ts";
import type { TemporaryObjects } from "../temporary.ts";

/** A PUT is live after about 14 ms; a gateway that needs longer than this is not healthy. */
const liveWithin = 3_000;
const pause = 100;
/** Header that the temporary routes add to responses: one of the platform's own routes may match the same path. */
const mark = "x-mtls-everywhere-verify";

/**
 * Each check puts a temporary route in front of a server. The first is the control: it shows that such a route reaches
 * its server, so the others can only be refused by verification.
 */
export function forwardingChecks(
  outputs: PlatformOutputs,
  material: Material,
  access: Access,
  temporary: TemporaryObjects,
): readonly Check[] {
  const { gateway, upstream, store } = outputs;
  const host = new URL(gateway.url).hostname;

  // A 502 without an upstream status is the gateway's own: this worker has not heard of the certificate yet.
  const isOwn = ({ status, headers }: Answer) =>
    status === 502 ? headers["x-apisix-upstream-status"] === "502" : headers[mark] === temporary.id;

  const through = async (
    name: string,
    server: Server,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Observation> => {
    const path = `/.verify/${temporary.id}/${name}`;
    const certificate = await temporary.put("ssls", name, {
      type: "client",
      cert: server.pair.cert,
      key: server.pair.key,
    });
    await temporary.put("routes", name, {
      uri: path,
      hosts: [host],
      plugins: { "response-rewrite": { headers: { set: { [mark]: temporary.id } } } },
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
    return onceLive(() => ask(access, gateway, client, { path, headers: { ...headers, host } }, signal), isOwn, signal);
  };

  const node = `${upstream.node.host}:${upstream.node.port}`;
  const member = new URL(store.endpoints[0] ?? "");
  return [
    {
      hop: "gateway to upstream",
      case: "server with the right name and plane",
      // The path is made up for the temporary route: whether the upstream has a page there does not matter.
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
      // A name never used before, so that no pooled connection can answer for it.
      observe: (signal) =>
        through("name", { node, name: `${temporary.id}.invalid`, pair: material.apisixUpstream }, signal),
    },
    {
      hop: "gateway to upstream",
      case: "server of the etcd plane",
      expect: [{ kind: "answer", status: 502 }],
      // etcd itself, with a certificate that it accepts: without verification it would answer 404.
      observe: (signal) =>
        through(
          "plane",
          { node: `${member.hostname}:${member.port || 443}`, name: member.hostname, pair: material.etcd },
          signal,
        ),
    },
    ...(outputs.caller.forwards === undefined ? [] : [unforged(outputs.caller.forwards)]),
  ];

  function unforged(header: string): Check {
    return {
      hop: "gateway to upstream",
      case: "client's own word for who it is",
      expect: [{ kind: "answer", status: 200 }],
      // What the upstream was told is its answer.
      observe: async (signal) => {
        const control = { node, name: upstream.serverName, pair: material.apisixUpstream };
        const forged = 'Subject="CN=someone,OU=else"';
        const seen = await through("told", control, signal, { [header]: forged });
        if (seen.kind !== "answer" || seen.status !== 200 || seen.body.trim() === told(material.edge)) return seen;
        return { kind: "failed", reason: `the upstream was told ${JSON.stringify(seen.body.trim().slice(0, 80))}` };
      },
    };
  }
}

/** What the gateway says of a client, in Envoy's form. */
function told({ cert }: KeyPair): string {
  const leaf = certificatesOf(cert)[0]!;
  return `Subject="${leaf.subject.split("\n").reverse().join(",")}";Cert="${encodeURIComponent(leaf.toString())}"`;
}

interface Server {
  readonly node: string;
  readonly name: string;
  /** What APISIX presents to it. */
  readonly pair: KeyPair;
}

/** The first response that came through the temporary route. */
async function onceLive(
  attempt: () => Promise<Answer>,
  isOwn: (answer: Answer) => boolean,
  signal: AbortSignal,
): Promise<Observation> {
  let last: Answer | undefined;
  const live = await until(
    async () => {
      last = await attempt();
      return isOwn(last) && last;
    },
    { within: liveWithin, pause, signal },
  );
  if (live) return observed(live);
  const shown = last && observedText(observed(last));
  return { kind: "failed", reason: `the temporary route is not live after ${liveWithin / 1000} s (${shown})` };
}
