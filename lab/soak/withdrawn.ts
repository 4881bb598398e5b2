/** What becomes of the connections, sessions and certificate of a root that is withdrawn. */
import https from "node:https";
import type { SecureVersion } from "node:tls";
import { contextOf, get, reasonOf, type Credentials, type Target } from "./gatewayClient.ts";

/** Milliseconds between requests on each connection. */
const pause = 2000;
const versions = ["TLSv1.2", "TLSv1.3"] as const satisfies readonly SecureVersion[];

export interface Withdrawn {
  /** Connections that still answer. */
  readonly open: number;
  /** When one of them last answered, in milliseconds since the epoch. */
  readonly lastAnswer: number;
}

export class OldTrust {
  readonly #target: Target;
  readonly #credentials: Credentials;
  readonly #agents = new Set<https.Agent>();
  readonly #sessions = new Map<SecureVersion, Buffer>();
  #lastAnswer = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(target: Target, credentials: Credentials) {
    this.#target = target;
    this.#credentials = credentials;
  }

  /** Opens the connections while the root is still trusted, and keeps using them. */
  async open(count: number): Promise<void> {
    const context = contextOf(this.#credentials);
    for (const version of versions) {
      const { socket } = await get(this.#target, "/", context, { minVersion: version, maxVersion: version });
      const session = socket.getSession();
      if (session) this.#sessions.set(version, session);
    }
    for (let number = 0; number < count; number++)
      this.#agents.add(new https.Agent({ keepAlive: true, maxSockets: 1 }));
    await this.#ask();
    this.#timer = setInterval(() => void this.#ask(), pause);
  }

  get state(): Withdrawn {
    return { open: this.#agents.size, lastAnswer: this.#lastAnswer };
  }

  /** What the gateway now says to the certificate and to each session, by what was tried. */
  async tryAgain(ca: string): Promise<Record<string, string>> {
    const context = contextOf({ ...this.#credentials, ca });
    const said: Record<string, string> = {};
    for (const version of versions)
      for (const session of [undefined, this.#sessions.get(version)]) {
        const what = `${session ? "session" : "certificate"} of the old root, ${version.replace("v", " ")}`;
        const only = { minVersion: version, maxVersion: version };
        said[what] = await get(this.#target, "/", context, { ...only, ...(session ? { session } : {}) }).then(
          ({ status }) => `answer ${status}`,
          reasonOf,
        );
      }
    return said;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const agent of this.#agents) agent.destroy();
    this.#agents.clear();
  }

  async #ask(): Promise<void> {
    const context = contextOf(this.#credentials);
    const ask = async (agent: https.Agent) => {
      const before = Object.values(agent.freeSockets).flat()[0];
      try {
        const { last, status, socket } = await get(this.#target, "/", context, { agent });
        // A new connection in place of an ended one would prove nothing about the old one.
        const same = before === undefined || before === socket;
        if (same && status === 200) this.#lastAnswer = Date.now();
        if (!same || last) this.#forget(agent);
      } catch {
        this.#forget(agent);
      }
    };
    await Promise.all([...this.#agents].map(ask));
  }

  #forget(agent: https.Agent): void {
    agent.destroy();
    this.#agents.delete(agent);
  }
}
