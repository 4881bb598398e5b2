// Keeps the gateway's certificates in sync with their Secrets: looks at both, lets the rules decide, and does what they say.

import { setTimeout as sleep } from "node:timers/promises";

import { type AdminClient, renewedLeaf } from "@mtls-everywhere/apisix-admin";
import { AdminError } from "@mtls-everywhere/cluster-access";
import type { SecretRef } from "@mtls-everywhere/vocabulary/references";

import { decide, endOf, type LiveCertificate, liveCertificates } from "./decide.ts";
import { Histogram } from "./exposition.ts";
import type { Journal } from "./journal.ts";
import type { SecretSource } from "./secretWatch.ts";
import type { ServedCertificates } from "./served.ts";

export interface Parts {
  readonly admin: Pick<AdminClient, "list" | "patch">;
  /** What this pod's gateway seals with, as objects' labels name it. */
  readonly sealedBy: string;
  /** Starts to follow a Secret. */
  readonly follow: (ref: SecretRef, onChange: () => void) => SecretSource;
  readonly served: ServedCertificates;
  readonly journal: Journal;
  /** The clock. Default: the system's. */
  readonly now?: () => Date;
}

/** How a certificate stands: as its Secret wants it, the last good one for want of a better, or to be retried. */
type Outcome = "right" | "kept" | "again";

/** What one object has been through since the start. */
export interface History {
  renewals: number;
  failures: number;
}

/**
 * Milliseconds between two polls of the Admin API while no Secret changes. Changes come by watches; the poll is for what
 * has no watch yet, and for what somebody else has written. A list costs about 2 ms of CPU: 0.04 % of a core.
 */
const interval = 5_000;

/** First pause after a failure, in milliseconds; it doubles up to the longest. */
const firstPause = 250;
const longestPause = 2_000;

/** Upper bounds of the durations of renewals, in seconds. */
const bounds = [0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300];

export class Renewer {
  /** The certificates as they were last seen. */
  live: readonly LiveCertificate[] = [];
  readonly sources = new Map<string, SecretSource>();
  readonly histories = new Map<string, History>();
  /** From seeing a Secret's change to the Admin API's answer. */
  readonly durations = new Histogram(bounds);
  /** When everything was last found, or made, right. */
  lastSuccess: Date | undefined;
  readonly #parts: Parts;
  #wake = new AbortController();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Runs until the signal. Two at once, in two pods, do no harm: both want the same. */
  async run(stop: AbortSignal): Promise<void> {
    stop.addEventListener("abort", () => this.#wake.abort());
    for (let pause = firstPause; !stop.aborted;) {
      this.#wake = new AbortController();
      const right = await this.pass();
      pause = right ? firstPause : Math.min(2 * pause, longestPause);
      const time = (right ? interval : pause) * (0.8 + 0.4 * Math.random());
      if (!stop.aborted) await sleep(time, undefined, { signal: this.#wake.signal }).catch(() => {});
    }
    for (const source of this.sources.values()) source.stop();
  }

  /** One look at everything, and what follows from it. False when it must be retried. */
  async pass(): Promise<boolean> {
    const { admin, journal, served, now = () => new Date() } = this.#parts;
    try {
      this.live = liveCertificates(await admin.list("ssls"));
      journal.note("The Admin API", undefined);
    } catch (error) {
      journal.note("The Admin API", `does not answer properly: ${(error as Error).message}`);
      return false;
    }
    this.#followSecrets();
    served.follow(this.live);
    const all = await Promise.all(this.live.map((one) => this.#settle(one)));
    if (all.every((outcome) => outcome === "right")) this.lastSuccess = now();
    return !all.includes("again");
  }

  /** The watch of the Secret of a certificate. */
  sourceOf({ secret }: LiveCertificate): SecretSource {
    return this.sources.get(nameOf(secret))!;
  }

  #followSecrets(): void {
    const { follow, journal } = this.#parts;
    for (const { secret } of this.live) {
      if (!this.sources.has(nameOf(secret)))
        this.sources.set(
          nameOf(secret),
          follow(secret, () => this.#wake.abort()),
        );
    }
    for (const [name, source] of this.sources) {
      if (this.live.some(({ secret }) => nameOf(secret) === name)) {
        journal.note(`Secret ${name}`, source.trouble);
      } else {
        source.stop();
        this.sources.delete(name);
      }
    }
    for (const { id } of this.live) {
      if (!this.histories.has(id)) this.histories.set(id, { renewals: 0, failures: 0 });
    }
  }

  /** Does for one certificate what its Secret asks for. */
  async #settle(live: LiveCertificate): Promise<Outcome> {
    const { journal, now = () => new Date() } = this.#parts;
    const source = this.sourceOf(live);
    const topic = `ssls/${live.id}`;
    let decision = decide(live, source.found, now(), false);
    if (decision.kind === "ask") {
      try {
        await source.refresh();
      } catch (error) {
        const read = `Secret ${nameOf(live.secret)} cannot be read again: ${(error as Error).message}`;
        journal.note(topic, `keeps its certificate, which is not older than its Secret's: ${read}.`);
        return "again";
      }
      decision = decide(live, source.found, now(), true);
    }
    switch (decision.kind) {
      case "keep":
        journal.note(topic, `keeps its certificate. Secret ${nameOf(live.secret)}: ${decision.problem}`);
        return "kept";
      case "renew":
        return this.#renew(live, source, decision.pair);
      default:
        journal.note(topic, undefined);
        return "right";
    }
  }

  async #renew(live: LiveCertificate, source: SecretSource, pair: Parameters<typeof renewedLeaf>[0]): Promise<Outcome> {
    const { admin, sealedBy, journal } = this.#parts;
    const history = this.histories.get(live.id)!;
    const topic = `ssls/${live.id}`;
    const seen = source.seen;
    try {
      await admin.patch("ssls", live.id, renewedLeaf(pair, sealedBy));
    } catch (error) {
      if (error instanceof AdminError && error.status === 404) return "right"; // Deleted meanwhile.
      history.failures += 1;
      journal.note(topic, `could not be renewed and will be retried: ${(error as Error).message}`);
      return "again";
    }
    const seconds = (performance.now() - seen) / 1_000;
    history.renewals += 1;
    this.durations.observe(seconds);
    journal.note(topic, undefined);
    const end = endOf(pair.cert)!.toISOString();
    journal.event(topic, `renewed from Secret ${nameOf(live.secret)} after ${seconds.toFixed(3)} s; expires ${end}.`);
    // Check at once that it took effect.
    this.#wake.abort();
    return "right";
  }
}

function nameOf({ namespace, name }: SecretRef): string {
  return `${namespace}/${name}`;
}
