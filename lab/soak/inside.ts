/** The soak's process inside a lab network: load, probes and the observer, started as the soak calls for them. */
import { contextOf, get, type Credentials, type Target } from "./gatewayClient.ts";
import { KeptAlive, type Bound } from "./keptAlive.ts";
import { NewConnections } from "./newConnections.ts";
import { Observer, type ServerPair } from "./observer.ts";
import { Probes, type Listener, type Sighting } from "./probes.ts";
import { serve } from "./remote.ts";
import { OldTrust } from "./withdrawn.ts";

export interface Load {
  readonly target: Target;
  readonly rate: number;
  readonly bound: Bound;
}

let credentials: Credentials | undefined;
let arrivals: NewConnections | undefined;
let kept: KeptAlive | undefined;
let old: OldTrust | undefined;
let observer: Observer | undefined;

const [servers, callers] = [1, 2].map(() => new Probes((sighting) => tell(sighting))) as [Probes, Probes];

/** Each fails with an explanation if called out of order. */
const methods = {
  /** Sets what the client presents and trusts from now on. */
  become(next: Credentials): void {
    credentials = next;
    if (arrivals) arrivals.context = contextOf(next);
    if (kept) kept.context = contextOf(next);
  },
  start({ target, rate, bound }: Load): void {
    arrivals = new NewConnections(target, rate, contextOf(there(credentials)));
    kept = new KeptAlive(target, bound, contextOf(there(credentials)));
  },
  use: (count: number) => there(kept).use(count),
  /** Drops the kept connections, so that the next use reopens them all. */
  leave: () => there(kept).close(),
  leaving(leaving: boolean): void {
    there(kept).leaving = leaving;
  },
  numbers: () => ({ arrivals: there(arrivals).numbers, kept: there(kept).numbers }),
  async stop(): Promise<void> {
    await there(arrivals).stop();
    there(kept).close();
  },
  openOld(target: Target, pair: Credentials, count: number): Promise<void> {
    old = new OldTrust(target, pair);
    return old.open(count);
  },
  oldState: () => there(old).state,
  tryOld: (ca: string) => there(old).tryAgain(ca),
  closeOld: () => there(old).close(),
  watch: (listeners: readonly Listener[]) => servers.watch(listeners),
  /** Asks the observer, through the gateway, who its caller is. */
  watchCaller(name: string, target: Target, path: string): void {
    void callers.follow(name, async () => {
      const { status, body } = await get(target, path, contextOf(there(credentials)));
      if (status !== 200) throw new Error(`answer ${status}`);
      return body;
    });
  },
  async observe(host: string, pair: ServerPair): Promise<number> {
    observer ??= await Observer.start(host, pair);
    observer.pair = pair;
    return observer.port;
  },
};
export type Inside = typeof methods;

const tell = serve<Sighting>(methods);

function there<T>(part: T | undefined): T {
  if (part === undefined) throw new Error("called too early");
  return part;
}
