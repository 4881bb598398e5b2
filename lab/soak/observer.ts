/** A server behind the gateway that answers with the serial number of its caller's leaf. */
import { once } from "node:events";
import https from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";

export interface ServerPair {
  readonly cert: string;
  readonly key: string;
}

export class Observer {
  readonly #server: https.Server;

  private constructor(server: https.Server) {
    this.#server = server;
  }

  /** Listens on a free port; closes every connection after its response, so that each request shows the caller's current leaf. */
  static async start(host: string, pair: ServerPair): Promise<Observer> {
    // It only observes, and trusts anyone.
    const server = https.createServer(
      { ...pair, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const caller = (request.socket as TLSSocket).getPeerX509Certificate();
        response.setHeader("connection", "close").end(caller?.serialNumber ?? "none");
      },
    );
    server.listen(0, host);
    await once(server, "listening");
    return new Observer(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close().closeAllConnections();
  }

  set pair(pair: ServerPair) {
    this.#server.setSecureContext({ ...pair, requestCert: true, rejectUnauthorized: false } as ServerPair);
  }
}
