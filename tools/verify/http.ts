// One HTTP request over one new TLS connection: what a plain client of the platform experiences.

import {
  type Access,
  type Answer,
  type ClientTls,
  exchange,
  type Request,
  saidIn,
} from "@mtls-everywhere/cluster-access";
import type { PodPort } from "@mtls-everywhere/vocabulary/references";

import type { Observation } from "./check.ts";

/** Sends the request to a pod's port. Rejects with the handshake's error, or with that of an alert after it. */
export async function ask(
  access: Pick<Access, "connect">,
  to: PodPort,
  client: ClientTls,
  request: Request,
  signal: AbortSignal,
): Promise<Answer> {
  // With TLS 1.3 the client finishes before the server has looked at the client's certificate: a refusal arrives
  // as an error of the request.
  const socket = await access.connect(to, client, signal);
  try {
    return await exchange(socket, { ...request, headers: { host: to.serverName, ...request.headers } }, signal);
  } finally {
    socket.destroy();
  }
}

/** Like `ask`, but returns the response as an observation. */
export async function observe(...question: Parameters<typeof ask>): Promise<Observation> {
  return observed(await ask(...question));
}

/** A response as an observation; a refusal is described in the server's own words. */
export function observed({ status, text }: Pick<Answer, "status" | "text">): Observation {
  return { kind: "answer", status, words: status < 400 ? "" : wordsOf(text).replace(`${status} `, ""), body: text };
}

function wordsOf(text: string): string {
  const { title, description, message, plain } = saidIn(text);
  return title ?? description ?? message ?? plain ?? "";
}
