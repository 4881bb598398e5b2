// The failure after which an object may exist or not.

/** A creation that may have happened although no answer says so. Holds what to remember, so that it is found again. */
export class Unconfirmed extends Error {
  readonly id: string;
  readonly outs: Readonly<Record<string, unknown>>;

  constructor(id: string, outs: Readonly<Record<string, unknown>>, cause: Error) {
    super(cause.message, { cause });
    this.id = id;
    this.outs = outs;
  }
}
