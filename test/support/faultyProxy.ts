// A faulty proxy between a client and a TLS server. It speaks mutual TLS to both, so that faults hit the intended requests.

import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import tls from "node:tls";

import type { KeyPair } from "../../cluster-access/certificates.ts";

/** What goes wrong with a request; each happens once unless `times` or `for` says otherwise. */
export type Fault = {
  /** Which requests, as `PUT /path`. */
  readonly on: RegExp;
  /** How often. Defaults to 1. */
  readonly times?: number;
  /** How long after the first time, in milliseconds. By default only `times` counts. */
  readonly for?: number;
} & (
  | { /** Bytes of the request that reach the server before both connections are reset. */ readonly cutAfter: number }
  | {
      /** The server gets the request and responds; the client's connection is reset instead. */ readonly loseAnswer: true;
    }
  | { /** The server gets nothing; the client gets this answer. */ readonly answer: { status: number; body: object } }
  | { /** Milliseconds that the answer is held back. */ readonly delay: number }
  | { /** Nothing passes any more in either direction, and nobody is told. */ readonly silence: true }
);

interface Armed {
  readonly fault: Fault;
  left: number;
  until: number;
}

export interface Link {
  /** Loopback port that requests are forwarded to. */
  readonly port: number;
  /** Name in the certificate of the server there. */
  readonly serverName: string;
  /** Root of the server's and the clients' certificates. */
  readonly root: string;
  /** What the proxy presents to clients. */
  readonly server: KeyPair;
  /** What the proxy presents to the server. */
  readonly client: KeyPair;
}

export class FaultyProxy {
  /** Requests seen so far, as `PUT /path`, including those that met a fault. */
  readonly requests: string[] = [];
  /** How many more TLS handshakes to cut off: the connection is reset once the client has started. */
  handshakesToCut = 0;
  /** Number of faults that have happened. */
  happened = 0;
  readonly #link: Link;
  readonly #server: Server;
  readonly #handshakes: tls.Server;
  readonly #sockets = new Set<Socket>();
  #armed: Armed[] = [];

  private constructor(link: Link) {
    this.#link = link;
    this.#server = createServer((socket) => this.#accept(socket));
    const { server, root } = link;
    this.#handshakes = tls.createServer({ ...server, ca: root, requestCert: true, rejectUnauthorized: true });
  }

  static async start(link: Link): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(link);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  inject(...faults: Fault[]): void {
    this.#armed.push(
      ...faults.map((fault) => ({
        fault,
        left: fault.times ?? (fault.for === undefined ? 1 : Infinity),
        until: Infinity,
      })),
    );
  }

  /** Ends all faults, and cuts silenced connections. */
  heal(): void {
    this.#armed = [];
    this.handshakesToCut = 0;
    this.happened = 0;
    this.requests.length = 0;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The server goes down: connections are cut off, new ones refused. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(raw: Socket): void {
    this.#track(raw);
    if (this.handshakesToCut > 0) {
      this.handshakesToCut -= 1;
      this.happened += 1;
      raw.once("data", () => raw.resetAndDestroy());
      return;
    }
    const { remotePort } = raw;
    const relay = (near: tls.TLSSocket) => {
      if (near.remotePort !== remotePort) return;
      this.#handshakes.off("secureConnection", relay);
      this.#relay(near, raw);
    };
    this.#handshakes.on("secureConnection", relay);
    raw.on("close", () => this.#handshakes.off("secureConnection", relay));
    this.#handshakes.emit("connection", raw);
  }

  #relay(near: tls.TLSSocket, raw: Socket): void {
    const { port, serverName, root, client } = this.#link;
    const far = tls.connect({ host: "127.0.0.1", port, servername: serverName, ca: root, ...client });
    this.#track(far);
    let fault: Fault | undefined;
    let passed = 0;
    const reset = () => {
      if (!raw.destroyed) raw.resetAndDestroy();
      far.destroy();
    };
    near.on("data", (chunk: Buffer) => {
      const request = /^([A-Z]+ \S+) HTTP/.exec(chunk.toString("latin1"))?.[1];
      if (request !== undefined) {
        this.requests.push(request);
        fault = this.#faultFor(request);
        passed = 0;
        if (fault && "answer" in fault) near.end(httpAnswer(fault.answer));
      }
      if (fault && ("silence" in fault || "answer" in fault)) return;
      if (fault && "cutAfter" in fault) {
        far.write(chunk.subarray(0, fault.cutAfter - passed), reset);
        passed += chunk.length;
        return;
      }
      far.write(chunk);
    });
    far.on("data", (chunk: Buffer) => {
      if (fault && "silence" in fault) return;
      if (fault && "loseAnswer" in fault) return reset();
      if (fault && "delay" in fault) {
        setTimeout(() => near.write(chunk), fault.delay).unref();
        return;
      }
      near.write(chunk);
    });
    far.on("error", () => raw.destroy());
    far.on("close", () => near.end());
    near.on("error", () => raw.destroy());
    near.on("close", () => far.destroy());
  }

  #faultFor(request: string): Fault | undefined {
    const armed = this.#armed.find(
      ({ fault, left, until }) => fault.on.test(request) && left > 0 && Date.now() < until,
    );
    if (armed === undefined) return undefined;
    armed.left -= 1;
    if (armed.fault.for !== undefined && armed.until === Infinity) armed.until = Date.now() + armed.fault.for;
    this.happened += 1;
    return armed.fault;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  }
}

function httpAnswer({ status, body }: { status: number; body: object }): string {
  const text = JSON.stringify(body);
  return `HTTP/1.1 ${status} Fault\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\nconnection: close\r\n\r\n${text}`;
}
