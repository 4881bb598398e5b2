// Whether a server resumes TLS sessions: a session made under a withdrawn root would outlive it.

import { type ClientTls, exchange, type Request } from "@mtls-everywhere/cluster-access";
import type { PodPort } from "@mtls-everywhere/vocabulary/references";
import { tlsVersions } from "@mtls-everywhere/vocabulary/tlsPolicy";

import type { PlatformAccess } from "./access.ts";
import type { Check, Hop, Observation } from "./check.ts";
import { observed } from "./http.ts";

/** A request to a server by a client whose certificate it accepts. */
export interface RightQuestion {
  readonly hop: Hop;
  readonly to: PodPort;
  readonly client: ClientTls;
  readonly request: Request;
  /**
   * What the server answers.
   * @default 200
   */
  readonly status?: number;
}

/** One check per TLS version: each resumes in its own way. */
export function sessionChecks(access: PlatformAccess, question: RightQuestion): readonly Check[] {
  return tlsVersions.toReversed().map((version) => ({
    hop: question.hop,
    case: `session of an earlier connection, ${version.replace("v", " ")}`,
    expect: [{ kind: "session", resumed: false }],
    observe: (signal) =>
      offeredAgain(
        access,
        { ...question, client: { ...question.client, minVersion: version, maxVersion: version } },
        signal,
      ),
  }));
}

/** Opens a second connection to the same pod and offers the first one's session on it. */
async function offeredAgain(
  access: PlatformAccess,
  { to, client, request, status = 200 }: RightQuestion,
  signal: AbortSignal,
): Promise<Observation> {
  const [pod] = await access.readyPods(to.namespace, to.selector);
  let session: Buffer | undefined;
  const ask = async (offered: Partial<ClientTls>) => {
    const socket = await access.connect({ ...to, ...(pod ? { pod } : {}) }, { ...client, ...offered }, signal);
    try {
      // With TLS 1.3 servers issue sessions, and refuse clients, after the handshake.
      socket.on("session", (given) => (session = given));
      const answer = await exchange(
        socket,
        { ...request, headers: { host: to.serverName, ...request.headers } },
        signal,
      );
      session ??= socket.getSession();
      return { answer, resumed: socket.isSessionReused() };
    } finally {
      socket.destroy();
    }
  };
  const first = await ask({});
  if (first.answer.status !== status) return observed(first.answer);
  const second = await ask(session ? { session } : {});
  return second.answer.status === status ? { kind: "session", resumed: second.resumed } : observed(second.answer);
}
