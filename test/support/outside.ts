// The world outside the platform: HTTPS servers that say what they saw, and a name server whose answers change.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";

import type { KeyPair } from "../../cluster-access/certificates.ts";

/** What a server outside saw of a request. */
export interface Seen {
  readonly at: string;
  readonly url: string;
  readonly sni: string;
  /** Common name of the certificate that it was shown, or `nobody`. */
  readonly client: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** A server at an address of the loopback network. It asks everybody for a certificate, takes any, and answers with what it saw. */
export async function startOutside(pair: KeyPair, address: string, port = 0) {
  const options = { ...pair, requestCert: true, rejectUnauthorized: false };
  const server = createServer(options, (request, response) => {
    const { servername } = request.socket as TLSSocket & { readonly servername: string };
    const shown = (request.socket as TLSSocket).getPeerCertificate();
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () => {
      const client = "subject" in shown ? String(shown.subject.CN) : "nobody";
      const seen: Seen = { at: address, url: request.url!, sni: servername, client, headers: request.headers, body };
      response.end(JSON.stringify(seen));
    });
  }).listen(port, address);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A name server that knows these names alone, each with one IPv4 address for a second. */
export async function startNameServer(address: string, names: Map<string, string>) {
  const socket = createSocket("udp4");
  socket.on("message", (query, { address: host, port }) => {
    socket.send(answer(query, names), port, host);
  });
  socket.bind(53, address);
  await once(socket, "listening");
  return { stop: () => socket.close() };
}

/** RFC 1035: the question comes back, with an address if it asks for one (type 1) of a known name. */
function answer(query: Buffer, names: Map<string, string>): Buffer {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const address = names.get(labels.join("."));
  const found = address !== undefined && query.readUInt16BE(at + 1) === 1;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(address === undefined ? 0x8183 : 0x8180, 2);
  header.writeUInt16BE(found ? 1 : 0, 6);
  header.fill(0, 8);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...(address ?? "").split(".").map(Number)]);
  return Buffer.concat([header, query.subarray(12, at + 5), ...(found ? [record] : [])]);
}
