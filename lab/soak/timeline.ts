/** What the soak was doing when: progress for whoever watches, and the step in which a failure happened. */

export interface Step {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly from: number;
  to?: number;
}

export class Timeline {
  readonly #begin = Date.now();
  readonly #steps: Step[] = [];
  readonly #progress: (line: string) => void;

  constructor(progress: (line: string) => void) {
    this.#progress = progress;
  }

  async step<T>(name: string, work: () => Promise<T>): Promise<T> {
    const step: Step = { name, from: Date.now() };
    this.#steps.push(step);
    this.say(name);
    try {
      return await work();
    } finally {
      step.to = Date.now();
    }
  }

  say(line: string): void {
    const seconds = Math.round((Date.now() - this.#begin) / 1000);
    const clock = `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
    this.#progress(`${clock}  ${line}`);
  }

  /** The innermost step at that moment. */
  at(moment: number): string {
    const around = this.#steps.filter(({ from, to = Infinity }) => from <= moment && moment <= to);
    return around.at(-1)?.name ?? "between two steps";
  }
}
