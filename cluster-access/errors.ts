// The failures that callers tell apart.

/** Another try may succeed: the server restarts, or no pod is ready yet. */
export class Transient extends Error {}

/** Transient, and reported by the server itself: it is up, but cannot serve just now. */
export class Unavailable extends Transient {}

/** What a reference names is not there. */
export class MissingObject extends Error {
  /** What is missing, in a sentence. */
  readonly what: string;

  constructor(what: string, remedy = "") {
    super(`${what}${remedy && ` ${remedy}`}`);
    this.what = what;
  }
}

/** What a reference names is there, without the entry that it names. */
export class MissingEntry extends MissingObject {}

/** The answer, or nothing where what it needs is missing. */
export async function unlessMissing<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof MissingObject) return undefined;
    throw error;
  }
}

/** What a reference names exists but can never serve its purpose; a preview says so too. */
export class Unusable extends Error {}

/** The kubeconfig and the reference point at different clusters. */
export class WrongCluster extends Unusable {}

/** An answer of an Admin API or of etcd that is not a success. Holds the server's words, never the request's. */
export class AdminError extends Error {
  readonly status: number;
  /** Kind and id of the object, e.g. `routes/hello`. */
  readonly object: string;
  /** The server's own words, if it had any. */
  readonly said: string;

  constructor(status: number, object: string, reason: string, hint = "", said = "") {
    super(`${object}: ${reason} (HTTP ${status}).${hint && ` ${hint}`}`);
    this.name = "AdminError";
    this.status = status;
    this.object = object;
    this.said = said;
  }
}
