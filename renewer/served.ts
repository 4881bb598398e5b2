// What the gateway really shows in a handshake, which may differ from what the Admin API holds.

import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { shownBy } from "@mtls-everywhere/cluster-access";

import { fingerprintOf, type LiveCertificate } from "./decide.ts";
import type { Journal } from "./journal.ts";

/** A leaf as a client sees it. */
export interface Shown {
  readonly fingerprint: string;
  readonly notAfter: Date;
}

/** The leaf that a server on loopback shows for a name. */
export async function shownFor(port: number, name: string): Promise<Shown> {
  const socket = connect(port, "127.0.0.1");
  const timer = setTimeout(
    () => socket.destroy(new Error(`no handshake within ${handshakeTime / 1_000} s`)),
    handshakeTime,
  );
  try {
    const [leaf] = await shownBy({ socket }, name);
    return { fingerprint: leaf!.fingerprint256, notAfter: leaf!.validToDate };
  } finally {
    clearTimeout(timer);
  }
}

/** In milliseconds. */
const handshakeTime = 5_000;

/** Checks all names of certificates: when a certificate has changed, and every minute. */
export class ServedCertificates {
  /** What was seen last, by object and name. */
  readonly seen = new Map<string, { readonly id: string; readonly name: string; readonly shown: Shown }>();
  readonly #look: (name: string) => Promise<Shown>;
  readonly #journal: Journal;
  readonly #last = new Map<string, { readonly fingerprint: string | undefined; readonly at: number }>();
  readonly #running = new Map<string, Promise<void>>();

  constructor(look: (name: string) => Promise<Shown>, journal: Journal) {
    this.#look = look;
    this.#journal = journal;
  }

  /** Starts to check those that have changed or were not checked for a minute; forgets those that are gone. */
  follow(live: readonly LiveCertificate[]): void {
    for (const { id, name } of this.seen.values()) {
      if (!live.some((one) => one.id === id && one.names.includes(name))) this.seen.delete(`${id} ${name}`);
    }
    for (const one of live) {
      const { fingerprint, at } = this.#last.get(one.id) ?? {};
      const now = performance.now();
      if (this.#running.has(one.id) || (fingerprint === fingerprintOf(one.cert) && now - at! < pause)) continue;
      this.#last.set(one.id, { fingerprint: fingerprintOf(one.cert), at: now });
      this.#running.set(
        one.id,
        Promise.all(one.names.map((name) => this.#check(one, name))).then(() => void this.#running.delete(one.id)),
      );
    }
  }

  /** Resolves when no check is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  async #check({ id, cert }: LiveCertificate, name: string): Promise<void> {
    const topic = `The gateway for ${name}`;
    const wanted = fingerprintOf(cert);
    for (const end = performance.now() + patience; ; await sleep(200)) {
      const late = performance.now() > end;
      try {
        const shown = await this.#look(name.replace("*", "mtls-renewer"));
        this.seen.set(`${id} ${name}`, { id, name, shown });
        if (shown.fingerprint === wanted) return this.#journal.note(topic, undefined);
        if (late) return this.#journal.note(topic, `shows a certificate other than that of ssls/${id}.`);
      } catch (error) {
        if (late) return this.#journal.note(topic, `does not complete a handshake: ${wordsOf(error as Error)}.`);
      }
    }
  }
}

/** Between two checks of what has not changed, in milliseconds. */
const pause = 60_000;

/** How long the gateway may take to show what the Admin API has stored, in milliseconds; it takes about ten. */
const patience = 3_000;

function wordsOf({ code, message }: NodeJS.ErrnoException): string {
  return code ?? message;
}
