// A headless Chromium, driven over a pipe with its own protocol: opens files, asks what a person would see, takes pictures.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

/** How a page is looked at. */
export interface View {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly scheme?: "light" | "dark";
  readonly media?: "screen" | "print";
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

const flags = [
  "--headless",
  "--remote-debugging-pipe",
  // The tests may run as root, in containers with a small /dev/shm, and open nothing but their own files.
  "--no-sandbox",
  "--disable-dev-shm-usage",
  "--disable-gpu",
  "--disable-background-networking",
  "--host-resolver-rules=MAP * ~NOTFOUND",
  "--hide-scrollbars",
];

export class Browser {
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #calls = new Map<number, { resolve: (message: Message) => void; reject: (error: Error) => void }>();
  readonly #heard = new Set<(message: Message) => void>();
  #last = 0;

  private constructor(process: ChildProcess, profile: string) {
    this.#process = process;
    this.#profile = profile;
    let rest = "";
    (process.stdio[4] as Readable).setEncoding("utf8").on("data", (text: string) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop() ?? "";
      for (const message of messages) this.#receive(JSON.parse(message) as Message);
    });
    process.on("exit", (code) => {
      for (const { reject } of this.#calls.values()) reject(new Error(`Chromium ended with exit code ${code}.`));
    });
  }

  /** Starts the one in this folder of lab/chromium.ts. */
  static async start(folder: string): Promise<Browser> {
    const profile = await mkdtemp(join(tmpdir(), "chromium-"));
    const env = {
      ...{ PATH: process.env.PATH, HOME: profile },
      ...{ LD_LIBRARY_PATH: join(folder, "lib"), FONTCONFIG_FILE: join(folder, "fonts.conf") },
    };
    const child = spawn(join(folder, "chromium"), [...flags, `--user-data-dir=${profile}`], {
      ...{ env, stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
    });
    await new Promise<void>((started, failed) => child.on("spawn", started).on("error", failed));
    return new Browser(child, profile);
  }

  async open(url: string): Promise<Page> {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    return Page.open(this, String(sessionId), url);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.on("exit", resolve));
    this.#process.kill("SIGKILL");
    await ended;
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 3 });
  }

  async send(method: string, params: object, sessionId?: string): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#last;
    const answered = new Promise<Message>((resolve, reject) => this.#calls.set(id, { resolve, reject }));
    (this.#process.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const { error, result = {} } = await answered;
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  listen(heard: (message: Message) => void): void {
    this.#heard.add(heard);
  }

  #receive(message: Message): void {
    if (message.id === undefined) for (const heard of this.#heard) heard(message);
    else {
      this.#calls.get(message.id)?.resolve(message);
      this.#calls.delete(message.id);
    }
  }
}

/** One tab. */
export class Page {
  /** What was requested, the page itself included. */
  readonly requests: string[] = [];
  /** What the console shows: messages, errors, violations of the page's own policy. */
  readonly messages: string[] = [];
  readonly #browser: Browser;
  readonly #session: string;
  readonly #loaded: Promise<void>;

  private constructor(browser: Browser, session: string) {
    this.#browser = browser;
    this.#session = session;
    this.#loaded = new Promise((loaded) =>
      browser.listen(({ method, sessionId, params }) => {
        if (sessionId !== session) return;
        if (method === "Page.loadEventFired") loaded();
        if (method === "Network.requestWillBeSent")
          this.requests.push((params as { request: { url: string } }).request.url);
        if (
          method === "Log.entryAdded" ||
          method === "Runtime.consoleAPICalled" ||
          method === "Runtime.exceptionThrown"
        )
          this.messages.push(JSON.stringify(params));
      }),
    );
  }

  static async open(browser: Browser, session: string, url: string): Promise<Page> {
    const page = new Page(browser, session);
    for (const domain of ["Page", "Network", "Log", "Runtime"]) await page.#send(`${domain}.enable`);
    await page.#send("Page.navigate", { url });
    await page.#loaded;
    return page;
  }

  async view({ width, height, scheme = "light", media = "screen" }: View): Promise<void> {
    await this.#send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await this.#send("Emulation.setEmulatedMedia", { media, features });
  }

  /** The value of a JavaScript expression in the page; a promise is awaited. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.#send("Runtime.evaluate", {
      ...{ expression, awaitPromise: true, returnByValue: true },
    });
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value?: unknown }).value;
  }

  /** A PNG of what is in view. */
  async picture(): Promise<Buffer> {
    const { data } = await this.#send("Page.captureScreenshot", { format: "png" });
    return Buffer.from(String(data), "base64");
  }

  #send(method: string, params: object = {}) {
    return this.#browser.send(method, params, this.#session);
  }
}
