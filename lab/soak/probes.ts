/** Looks at what servers serve, again and again, and tells each new leaf at the moment when it is first seen. */
import tls from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";

export interface Listener {
  /** Names the listener for good, such as `gateway apisix-6c9d`. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
}

export interface Sighting {
  readonly listener: string;
  readonly serial: string;
  /** Milliseconds since the epoch, when the handshake was over. */
  readonly at: number;
}

/** Between two looks: milliseconds. */
const pause = 200;
const patience = 5000;

export class Probes {
  readonly #onSeen: (sighting: Sighting) => void;
  readonly #watched = new Set<string>();

  constructor(onSeen: (sighting: Sighting) => void) {
    this.#onSeen = onSeen;
  }

  /** From now on these listeners, and no others. */
  watch(listeners: readonly Listener[]): void {
    const names = new Set(listeners.map(({ name }) => name));
    for (const name of this.#watched) if (!names.has(name)) this.#watched.delete(name);
    for (const listener of listeners) {
      if (this.#watched.has(listener.name)) continue;
      this.#watched.add(listener.name);
      void this.follow(listener.name, () => servedBy(listener));
    }
  }

  /** Calls `look` until the name is no longer watched; a look without an answer tells nothing. */
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

/** The serial of the leaf that a server shows, whatever it thinks of a client without one. */
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
