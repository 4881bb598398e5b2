// What Pulumi's engine does with one resource: calls the provider's methods in its order, with the state from the last step.

import type { Props } from "../../apisix-admin/checks.ts";
import type { Access } from "../../cluster-access/access.ts";
import { check, create, diff, type Kind, read, remove, update } from "../../dynamic-resources/resources.ts";

interface State {
  readonly id: string;
  readonly props: Props;
  /** A creation that failed halfway: the next update completes it, whatever the diff says. */
  readonly begun: boolean;
}

export class Engine {
  readonly #kind: Kind;
  readonly #access: Access;
  /** What the state file holds about the resource. */
  state: State | undefined;

  constructor(kind: Kind, access: Access) {
    this.#kind = kind;
    this.#access = access;
  }

  async preview(inputs: Props): Promise<"create" | "update" | "replace" | "same"> {
    const { failures } = await check(this.#kind, inputs, this.#access);
    if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join(" "));
    if (this.state === undefined) return "create";
    const { id, props, begun } = this.state;
    const { changes, ...how } = await diff(this.#kind, id, props, inputs, this.#access);
    return "replaces" in how ? "replace" : changes || begun ? "update" : "same";
  }

  async up(inputs: Props): Promise<string> {
    const step = await this.preview(inputs);
    const old = this.state;
    if (step === "create" || step === "replace") await this.#create(inputs);
    if (step === "replace" && old) await remove(this.#kind, old.id, old.props, this.#access);
    if (step === "update" && old) {
      const { outs } = await update(this.#kind, old.id, old.props, inputs, this.#access);
      this.state = { id: old.id, props: outs, begun: false };
    }
    return step;
  }

  async refresh(): Promise<void> {
    if (this.state === undefined) return;
    const { id, props } = this.state;
    const live = await read(this.#kind, id, props, this.#access);
    this.state = live.props === undefined ? undefined : { ...this.state, props: live.props };
  }

  async destroy(): Promise<void> {
    if (this.state === undefined) return;
    await remove(this.#kind, this.state.id, this.state.props, this.#access);
    this.state = undefined;
  }

  async #create(inputs: Props): Promise<void> {
    try {
      const { id, outs } = await create(this.#kind, inputs, this.#access);
      this.state = { id, props: outs, begun: false };
    } catch (error) {
      const { id, properties } = error as { id?: string; properties?: Props };
      if (id !== undefined && properties !== undefined) this.state = { id, props: properties, begun: true };
      throw error;
    }
  }
}
