/** A change of one value of the configuration, as a row of docs/configuration.md. */
import type { RunningPlatform } from "./row.ts";

/** Values by path below the project's prefix, such as `etcd.replicas`; undefined removes the key. */
export type Values = Readonly<Record<string, unknown>>;

/** A change of one value. */
export interface Change {
  readonly key: string;
  /** The change, as the table shows it. */
  readonly to: string;
  readonly values: Values | ((platform: RunningPlatform) => Promise<Values>);
  /** What must be so before, applied by an `up` of its own. */
  readonly given?: Values;
  /** Provides what the values name, and removes it again. */
  readonly prepare?: (platform: RunningPlatform) => Promise<void>;
  readonly tidy?: (platform: RunningPlatform) => Promise<void>;
  /** What somebody else does while the `up` runs. */
  readonly meanwhile?: (platform: RunningPlatform, signal: AbortSignal) => Promise<void>;
  /** The words of a refusal; without them, the change must succeed, and so must its way back. */
  readonly refused?: RegExp;
  /** There is no way back: later rows find it so. */
  readonly stays?: boolean;
  /** What ends for clients, and how their requests then fail; without it, none may fail. */
  readonly ends?: { readonly what: string; readonly reason: RegExp };
}
