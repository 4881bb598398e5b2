/** Kept-alive connections through the gateway, used when told to and reopened when their bound or their pod has ended them. */
import https from "node:https";
import type { SecureContext, TLSSocket } from "node:tls";
import { get, reasonOf, type Target } from "./gatewayClient.ts";
import { Tally, type Numbers } from "./tally.ts";

/** How long the gateway lets a connection live, in seconds. */
export interface Bound {
  /** Since it was opened: the next response is the last. */
  readonly age: number;
  /** Since its last response. */
  readonly idle: number;
}

/** `bound`: as documented. `left`: with its terminating pod. `early`: neither. */
export type End = "bound" | "left" | "early";

export interface KeptNumbers extends Numbers {
  readonly opened: number;
  readonly ends: Readonly<Record<End, number>>;
}

/** Server and client do not read the clock at the same moment, in seconds. */
const slack = 2;

/**
 * Why a connection ended.
 * @param ended its age and idle time at that moment, in seconds, and whether a request was in flight
 * @param leaving whether a pod was terminating
 */
export function judgeEnd(
  ended: { readonly age: number; readonly idle: number; readonly asked: boolean },
  bound: Bound,
  leaving: boolean,
): End {
  if (ended.idle >= bound.idle - slack || (ended.asked && ended.age >= bound.age - slack)) return "bound";
  return leaving ? "left" : "early";
}

interface Connection {
  readonly opened: number;
  readonly agent: https.Agent;
  socket?: TLSSocket;
  answered: number;
  /** A request is in flight. */
  asked: boolean;
  ended: boolean;
}

export class KeptAlive {
  readonly #target: Target;
  readonly #bound: Bound;
  readonly #tally = new Tally();
  readonly #ends: Record<End, number> = { bound: 0, left: 0, early: 0 };
  #connections: Connection[] = [];
  #opened = 0;
  #context: SecureContext;
  /** Whether pods are terminating, whose connections end with them. */
  leaving = false;

  constructor(target: Target, bound: Bound, context: SecureContext) {
    this.#target = target;
    this.#bound = bound;
    this.#context = context;
  }

  /** Sets what connections present and trust from now on. */
  set context(context: SecureContext) {
    this.#context = context;
  }

  /** Opens connections until there are `count`, and sends one request on each. */
  async use(count: number): Promise<void> {
    this.#connections = this.#connections.filter(({ ended }) => !ended);
    while (this.#connections.length < count) this.#connections.push(this.#open());
    await Promise.all(this.#connections.map((connection) => this.#ask(connection)));
  }

  close(): void {
    for (const connection of this.#connections) {
      connection.ended = true;
      connection.agent.destroy();
    }
  }

  get numbers(): KeptNumbers {
    return { ...this.#tally.numbers, opened: this.#opened, ends: this.#ends };
  }

  #open(): Connection {
    this.#opened += 1;
    const now = performance.now();
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, secureContext: this.#context });
    return { opened: now, answered: now, agent, asked: false, ended: false };
  }

  async #ask(connection: Connection): Promise<void> {
    connection.asked = true;
    try {
      const { status, last, socket } = await get(this.#target, "/", this.#context, { agent: connection.agent });
      connection.asked = false;
      this.#watch(connection, socket);
      const age = (performance.now() - connection.opened) / 1000;
      const longest = this.#bound.age + this.#bound.idle + slack;
      if (status !== 200) this.#tally.failed(`answer ${status}`);
      else if (age > longest) this.#tally.failed(`answered ${Math.round(age)} s after it was opened, past the bound`);
      else this.#tally.done();
      if (last && this.#end(connection, true) === "early") this.#tally.failed(earlyEnd("after a response", age));
      connection.answered = performance.now();
    } catch (error) {
      // If the bound ends it while the request is in flight, it is reopened, as HTTP clients do.
      if (connection.ended || this.#end(connection, true) !== "bound") this.#tally.failed(reasonOf(error));
    }
  }

  #watch(connection: Connection, socket: TLSSocket): void {
    if (connection.socket === socket) return;
    connection.socket = socket;
    socket.once("close", () => {
      if (connection.ended || connection.asked) return; // judged with the request
      const age = (performance.now() - connection.opened) / 1000;
      if (this.#end(connection, false) === "early") this.#tally.failed(earlyEnd("while idle", age));
    });
  }

  #end(connection: Connection, asked: boolean): End {
    const since = (moment: number) => (performance.now() - moment) / 1000;
    const moment = { age: since(connection.opened), idle: since(connection.answered), asked };
    const end = judgeEnd(moment, this.#bound, this.leaving);
    connection.ended = true;
    connection.agent.destroy();
    this.#ends[end] += 1;
    return end;
  }
}

const earlyEnd = (when: string, age: number) => `closed before the bound, ${when}, ${Math.round(age)} s old`;
