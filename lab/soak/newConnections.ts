/** New connections through the gateway at a constant rate, whatever becomes of them: an open loop. */
import type { SecureContext } from "node:tls";
import { get, reasonOf, type Target } from "./gatewayClient.ts";
import { Tally, spreadOf, type Numbers, type Spread } from "./tally.ts";

export interface ArrivalNumbers extends Numbers {
  /** How long the schedule ran, in seconds. */
  readonly seconds: number;
  readonly perSecond: number;
  /** How late requests started because this machine was busy, in seconds. Their time counts from when they were due. */
  readonly late: Spread;
  /** Seconds from when a request was due to its response. */
  readonly answered: Spread;
}

export class NewConnections {
  readonly #target: Target;
  readonly #rate: number;
  readonly #tally = new Tally();
  readonly #late: number[] = [];
  readonly #answered: number[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #begin = performance.now();
  readonly #timer: NodeJS.Timeout;
  #end: number | undefined;
  #begun = 0;
  #context: SecureContext;

  /** `rate` is in connections per second. */
  constructor(target: Target, rate: number, context: SecureContext) {
    this.#target = target;
    this.#rate = rate;
    this.#context = context;
    this.#timer = setInterval(() => this.#catchUp(), 5);
  }

  /** Sets what requests present and trust from now on. */
  set context(context: SecureContext) {
    this.#context = context;
  }

  /** Starts no more, and waits for those in flight. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#catchUp();
    this.#end = performance.now();
    await Promise.all(this.#running);
  }

  get numbers(): ArrivalNumbers {
    const seconds = ((this.#end ?? performance.now()) - this.#begin) / 1000;
    return {
      ...this.#tally.numbers,
      seconds,
      perSecond: this.#begun / seconds,
      late: spreadOf(this.#late),
      answered: spreadOf(this.#answered),
    };
  }

  #catchUp(): void {
    const now = performance.now();
    for (;;) {
      const due = this.#begin + (this.#begun * 1000) / this.#rate;
      if (due > now) return;
      this.#begun += 1;
      this.#late.push((now - due) / 1000);
      const request = this.#request(due).finally(() => this.#running.delete(request));
      this.#running.add(request);
    }
  }

  async #request(due: number): Promise<void> {
    try {
      const { status } = await get(this.#target, "/", this.#context);
      if (status === 200) {
        this.#tally.done();
        this.#answered.push((performance.now() - due) / 1000);
      } else this.#tally.failed(`answer ${status}`);
    } catch (error) {
      this.#tally.failed(reasonOf(error));
    }
  }
}
