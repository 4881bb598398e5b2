// The gateway to upstreams: APISIX refuses a server with another name or a bad certificate.

import type { X509Certificate } from "node:crypto";

import { type Answer, certificatesOf, servedChain, until } from "@mtls-everywhere/cluster-access";
import { planes } from "@mtls-everywhere/vocabulary/planes";
import type { OnePodPort } from "@mtls-everywhere/vocabulary/references";

import type { PlatformOutputs } from "../../../outputs.ts";
import { type Check, classify, type Observation, observedText, type Outcome } from "../check.ts";
import { ask, observed } from "../http.ts";
import type { Scene } from "../scene.ts";
import { mark, type Route, type Shown } from "../stage.ts";

/** A write is live after about 14 ms; a gateway that needs longer than this is not healthy. */
const liveWithin = 3_000;
const pause = 100;

const found: readonly Outcome[] = [{ kind: "answer", status: 200 }];
const notFound: readonly Outcome[] = [{ kind: "answer", status: 404 }];
const refused: readonly Outcome[] = [{ kind: "answer", status: 502 }];

/** Two controls show that such routes reach their servers, so that the others can only be refused by verification. */
const servers: readonly (readonly [name: string, shown: Shown, expect: readonly Outcome[]])[] = [
  // The path is made up for the route: whether the upstream has a page there does not matter.
  ["server with the right name and plane", "upstream", [...found, ...notFound]],
  ["staged server with the right name and plane", { kind: "server", plane: "upstream" }, notFound],
  ["server with another name", "upstream of another name", refused],
  ["server with a self-signed certificate", "self-signed", refused],
  ["server with an expired certificate", { kind: "expired", plane: "upstream" }, refused],
  ["server with a client's certificate", { kind: "client", plane: "upstream" }, refused],
  ...planes
    .filter((plane) => plane !== "upstream")
    .map((plane) => [`server of the ${plane} plane`, { kind: "server", plane }, refused] as const),
];

/** What a client claims to be, in either header. */
const forged = { subject: 'Subject="CN=someone,OU=else"', certificate: ":Zm9yZ2Vk:" };

export function forwardingLines({ gateway, caller }: PlatformOutputs): readonly Check[] {
  const host = new URL(gateway.url).hostname;
  const lines = servers.map(([name, shown, expect]): Check => ({
    ...{ hop: "gateway to upstream", case: name, threat: "T9", at: gateway, expect },
    ready: ({ stage }) => stage.route(shown),
    observe: async (scene, at, signal) => {
      const { path, server } = await scene.stage.route(shown);
      if (server.pair && !(await isStaged(scene, at, server, signal))) {
        return { kind: "failed", reason: `the gateway does not show the temporary certificate of ${server.name}` };
      }
      return through(scene, at, path, { host }, signal);
    },
  }));
  const { forwards, forwardsCertificate } = caller;
  return forwards === undefined ? lines : [...lines, unforged(forwards, forwardsCertificate)];

  function unforged(header: string, certificate?: string): Check {
    const claims = {
      ...{ [header]: forged.subject },
      ...(certificate === undefined ? {} : { [certificate]: forged.certificate }),
    };
    return {
      ...{ hop: "gateway to upstream", case: "client's own word for who it is", threat: "T17", at: gateway },
      expect: found,
      ready: ({ stage }) => stage.route("upstream"),
      // What the upstream was told is its answer.
      observe: async (scene, at, signal) => {
        const { path } = await scene.stage.route("upstream");
        const seen = await through(scene, at, path, { host, ...claims }, signal);
        const leaf = certificatesOf((await scene.material.leaves.of("client", "edge")).cert)[0]!;
        const wanted = [told(leaf), ...(certificate === undefined ? [] : [`:${leaf.raw.toString("base64")}:`])];
        if (seen.kind !== "answer" || seen.status !== 200 || seen.body.trim() === wanted.join("\n")) return seen;
        return { kind: "failed", reason: `the upstream was told ${JSON.stringify(seen.body.trim().slice(0, 80))}` };
      },
    };
  }
}

/** What comes back through a temporary route. */
async function through(
  { material, access, stage }: Scene,
  at: OnePodPort,
  path: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Observation> {
  const client = { ca: material.gatewayRoots, pair: await material.leaves.of("client", "edge") };
  return onceLive(() => ask(access, at, client, { path, headers }, signal), stage.id, signal);
}

/** What the gateway says of a client, in Envoy's form. */
function told(leaf: X509Certificate): string {
  return `Subject="${leaf.subject.split("\n").reverse().join(",")}";Cert="${encodeURIComponent(leaf.toString())}"`;
}

/** Whether the pod shows the staged server's certificate: without one, the gateway would refuse the server for that. */
async function isStaged(
  { access }: Scene,
  at: OnePodPort,
  { name, pair }: Route["server"],
  signal: AbortSignal,
): Promise<boolean> {
  const own = pair && certificatesOf(pair.cert)[0]?.fingerprint256;
  const look = async () => {
    try {
      const [leaf] = await servedChain(access, { ...at, serverName: name }, { within: liveWithin, signal });
      return leaf?.fingerprint256 === own;
    } catch (error) {
      if (classify(error).kind !== "alert") throw error;
      return false;
    }
  };
  return (await until(look, { within: liveWithin, pause, signal })) ?? false;
}

/** The first response that came through the temporary route. */
async function onceLive(attempt: () => Promise<Answer>, id: string, signal: AbortSignal): Promise<Observation> {
  // A 502 without an upstream status is the gateway's own: this worker has not heard of the certificate yet.
  const isOwn = ({ status, headers }: Answer) =>
    status === 502 ? headers["x-apisix-upstream-status"] === "502" : headers[mark] === id;
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
