// Runs inside a pod, in Node.js alone: makes the requests in its last argument, and prints what came of each.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

/** A request, and what the client presents. */
export interface Attempt {
  readonly host: string;
  readonly port: number;
  /** Without TLS. */
  readonly plain?: true;
  /** SNI; default: none. */
  readonly serverName?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Default: GET. */
  readonly method?: string;
  readonly path: string;
  /** Names and values in turn, as they are sent: a name may come twice. */
  readonly headers?: readonly string[];
  readonly body?: string;
  /** Sends the token of the pod's service account. */
  readonly asMe?: true;
}

/** An answer, or the error that came in place of one. */
export type Seen = { readonly status: number; readonly body: string } | { readonly error: string };

const token = "/var/run/secrets/kubernetes.io/serviceaccount/token";

function attempt({ plain, serverName, asMe, headers = [], body, ...request }: Attempt): Promise<Seen> {
  return new Promise((done) => {
    const sent = [...headers, ...(headers.some((name) => /^host$/i.test(name)) ? [] : ["Host", request.host])];
    if (asMe) sent.push("Authorization", `Bearer ${readFileSync(token, "utf8")}`);
    if (body !== undefined) sent.push("Content-Length", String(Buffer.byteLength(body)));
    // An attacker does not care whom it talks to.
    const options = {
      ...request,
      headers: sent,
      servername: serverName ?? "",
      rejectUnauthorized: false,
      agent: false as const,
    };
    const call = plain ? http.request(options) : https.request(options);
    call.setTimeout(8_000, () => call.destroy(new Error("no answer")));
    call.on("error", (error: NodeJS.ErrnoException) => {
      const alert = /SSL alert number (\d+)/.exec(error.message);
      done({ error: alert ? `alert ${alert[1]}` : (error.code ?? error.message) });
    });
    call.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("error", (error) => done({ error: error.message }));
      response.on("end", () => done({ status: response.statusCode ?? 0, body: text }));
    });
    call.end(body);
  });
}

if (process.argv.at(-1)?.startsWith("[")) {
  const attempts = JSON.parse(process.argv.at(-1)!) as readonly Attempt[];
  console.log(JSON.stringify(await Promise.all(attempts.map(attempt))));
}
