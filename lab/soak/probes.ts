/** Keeps looking at what servers serve, and reports each new leaf the moment it is first seen. */
import tls from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";

export interface Listener {
  /** Permanent name of the listener, such as `gateway apisix-6c9d`. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
}

export interface Sighting {
  readonly listener: string;
  readonly serial: string;
  /** End of the handshake, in milliseconds since the epoch. */
  readonly at: number;
}

/** Milliseconds between looks. */
const pause = 200;
const patience = 5000;

export class Probes {
  readonly #onSeen: (sighting: Sighting) => void;
  readonly #watched = new Set<string>();

  constructor(onSeen: (sighting: Sighting) => void) {
    this.#onSeen = onSeen;
  }

  /** Sets the listeners to watch from now on. */
  watch(listeners: readonly Listener[]): void {
    const names = new Set(listeners.map(({ name }) => name));
    for (const name of this.#watched) if (!names.has(name)) this.#watched.delete(name);
    for (const listener of listeners) {
      if (this.#watched.has(listener.name)) continue;
      this.#watched.add(listener.name);
      void this.follow(listener.name, () => servedBy(listener));
    }
  }

  /** Calls `look` until the name is no longer watched; looks without an answer are ignored. */
  async follow(name: string, look: () => Promise<string>): Promise<void> {
    this.#watched.add(name);
    let last: string | undefined;
    while (this.#watched.has(name)) {
      const serial = await look().catch(() => undefined);
      if (serial !== undefined && serial !== last) {
        last = serial;
        this.#onSeen({ listener: name, serial, at: Date.now() });
      }
      await sleep(pause);
    }
  }
}

/** The serial number of a server's leaf, whatever it thinks of a client without one. */
function servedBy({ host, port, serverName }: Listener): Promise<string> {
  return new Promise((done, failed) => {
    // With TLS 1.3 the client has seen the server's leaf, and its proof, before the server asks for the client's.
    const options = { host, port, servername: serverName, minVersion: "TLSv1.3", rejectUnauthorized: false } as const;
    const socket = tls.connect({ ...options, timeout: patience }, () => {
      done(socket.getPeerX509Certificate()?.serialNumber ?? "");
      socket.destroy();
    });
    socket.on("timeout", () => socket.destroy(new Error("no answer")));
    socket.on("error", failed).on("close", () => failed(new Error("closed")));
  });
}
