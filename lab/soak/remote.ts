/** Calls into a process in a lab network, and its notifications, over Node's IPC channel to a child. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";

/** What the process offers, by name; arguments and answers must survive JSON. */
export type Methods = Readonly<Record<string, (...args: never[]) => unknown>>;

interface Call {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}
type Message<Event> =
  { readonly id: number; readonly answer?: unknown; readonly error?: string } | { readonly event: Event };

/** Answers calls until the parent ends. Returns a function that notifies the parent. */
export function serve<Event>(methods: Methods): (event: Event) => void {
  const send = (message: Message<Event>) => process.send?.(message);
  process.on("message", ({ id, method, args }: Call) => {
    void Promise.resolve()
      .then(() => methods[method]!(...(args as never[])))
      .then(
        (answer) => send({ id, answer }),
        (error: Error) => send({ id, error: error.message }),
      );
  });
  process.on("disconnect", () => process.exit());
  return (event) => send({ event });
}

export class Remote<M extends Methods, Event> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { done: (answer: unknown) => void; failed: (error: Error) => void }>();
  #last = 0;

  /** Starts a program from this folder in the network namespace that a file stands for. */
  constructor(network: string, program: string, onEvent: (event: Event) => void) {
    // nsenter execs the program, which thus inherits the channel.
    this.#child = spawn("nsenter", [`--net=${network}`, process.execPath, "--no-warnings", program], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      detached: true, // Ctrl-C is for the soak, which shuts it down in order
    });
    this.#child.on("message", (message: Message<Event>) => {
      if ("event" in message) return onEvent(message.event);
      const { done, failed } = this.#waiting.get(message.id)!;
      this.#waiting.delete(message.id);
      if (message.error === undefined) done(message.answer);
      else failed(new Error(message.error));
    });
    const over = () => {
      for (const { failed } of this.#waiting.values()) failed(new Error(`${program} has ended`));
      this.#waiting.clear();
    };
    this.#child.on("error", over).on("exit", over);
  }

  async call<K extends keyof M & string>(method: K, ...args: Parameters<M[K]>): Promise<Awaited<ReturnType<M[K]>>> {
    const id = ++this.#last;
    const answer = await new Promise<unknown>((done, failed) => {
      this.#waiting.set(id, { done, failed });
      if (!this.#child.connected) failed(new Error(`a process of the soak ended before "${method}"`));
      else this.#child.send({ id, method, args } satisfies Call);
    });
    return answer as Awaited<ReturnType<M[K]>>;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}
