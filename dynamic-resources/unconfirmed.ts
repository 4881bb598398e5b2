// The failure after which an object may or may not exist.

/** A create that may have succeeded although no answer confirmed it. Holds what to record, so that the object is found again. */
export class Unconfirmed extends Error {
  readonly id: string;
  readonly outs: Readonly<Record<string, unknown>>;

  constructor(id: string, outs: Readonly<Record<string, unknown>>, cause: Error) {
    super(cause.message, { cause });
    this.id = id;
    this.outs = outs;
  }
}
