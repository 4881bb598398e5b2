// Whether a server resumes TLS sessions: a session made under a withdrawn root would outlive it.

import { type Access, type ClientTls, exchange, type Request } from "@mtls-everywhere/cluster-access";
import type { OnePodPort } from "@mtls-everywhere/vocabulary/references";

import type { Observation } from "./check.ts";
import { observed } from "./http.ts";

/** Opens a second connection to the pod and offers the first one's session on it; both are to be answered with this status. */
export async function offeredAgain(
  access: Pick<Access, "connect">,
  to: OnePodPort,
  client: ClientTls,
  request: Request,
  status: number,
  signal: AbortSignal,
): Promise<Observation> {
  let session: Buffer | undefined;
  const ask = async (offered: Partial<ClientTls>) => {
    const socket = await access.connect(to, { ...client, ...offered }, signal);
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
