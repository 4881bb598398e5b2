/** A client of the gateway with its own certificate: one request on a new or a kept connection. */
import https from "node:https";
import tls, { type SecureContext, type TLSSocket } from "node:tls";

import { classify, observedText } from "../../tools/verify/check.ts";

export interface Target {
  readonly host: string;
  readonly port: number;
  /** SNI and Host. */
  readonly serverName: string;
}

export interface Credentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** Whether the server ends the connection with it. */
  readonly last: boolean;
  readonly socket: TLSSocket;
}

/** How long a request may take, including the handshake, in milliseconds. */
const patience = 10_000;

export const contextOf = ({ ca, cert, key }: Credentials): SecureContext => tls.createSecureContext({ ca, cert, key });

/** Rejects if there is no response, but not for any status. */
export function get(
  { host, port, serverName }: Target,
  path: string,
  secureContext: SecureContext,
  options: Pick<https.RequestOptions, "agent" | "minVersion" | "maxVersion"> & { session?: Buffer } = {},
): Promise<Answer> {
  return new Promise((done, failed) => {
    const request = https.get({
      ...{ host, port, path, servername: serverName, headers: { host: serverName }, agent: false, secureContext },
      ...options,
    });
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${patience / 1000} s`)), patience);
    request.on("close", () => clearTimeout(timer));
    request.on("error", failed);
    request.on("response", (response) => {
      const socket = response.socket as TLSSocket; // a kept one is detached from the response at its end
      let body = "";
      response.setEncoding("utf8").on("data", (part: string) => (body += part));
      response.on("error", failed);
      response.on("end", () =>
        done({
          status: response.statusCode ?? 0,
          body,
          last: response.headers.connection === "close",
          socket,
        }),
      );
    });
  });
}

/** Why a request failed, as verify's report would put it. */
export function reasonOf(error: unknown): string {
  return observedText(classify(error)).replace(/^failed: /, "");
}
