// The log: events as they happen, and troubles only when they change, however often they are seen.

/** Where lines go; standard output unless told otherwise. */
export type Print = (line: string) => void;

export class Journal {
  readonly #print: Print;
  readonly #troubles = new Map<string, string>();

  constructor(print: Print = (line) => console.log(line)) {
    this.#print = print;
  }

  event(topic: string, what: string): void {
    this.#print(`${new Date().toISOString()} ${topic} ${what}`);
  }

  /** What is wrong with a topic, or undefined: logged when it differs from what was logged last. */
  note(topic: string, trouble: string | undefined): void {
    if (trouble === this.#troubles.get(topic)) return;
    if (trouble === undefined) this.#troubles.delete(topic);
    else this.#troubles.set(topic, trouble);
    this.event(topic, trouble ?? "is fine again.");
  }
}
