// Calls to etcd's JSON gateway as one of its users, to any member or to a named one.

import { type Access, AdminError, type ClientTls, saidIn } from "@mtls-everywhere/cluster-access";
import type { PodPort } from "@mtls-everywhere/vocabulary/references";

import { ask } from "./http.ts";

/** Who calls, and where. */
export interface StoreCaller {
  readonly access: Pick<Access, "connect">;
  readonly endpoint: PodPort;
  readonly client: ClientTls;
  readonly user: string;
  readonly password: string;
}

/** Where a call goes, and when to give up. */
export interface CallOptions {
  /**
   * Name of the member, which is its pod's.
   * @default any that is ready
   */
  readonly member?: string | undefined;
  readonly signal: AbortSignal;
}

/** Posts a body to a path under `/v3/`; returns the answer's fields. */
export type StoreCall = <T>(path: string, body: object, options: CallOptions) => Promise<T>;

/** Signs in with the first call, and again when a member no longer knows the token. */
export class StoreSession {
  readonly #caller: StoreCaller;
  #token: Promise<string | undefined> | undefined;

  constructor(caller: StoreCaller) {
    this.#caller = caller;
  }

  /** @throws AdminError with etcd's message if it refuses. */
  readonly call: StoreCall = async <T>(path: string, body: object, options: CallOptions) => {
    try {
      return await this.#send<T>(path, body, options, await this.#signedIn(options));
    } catch (error) {
      if (!(error instanceof AdminError && /invalid auth token|auth store is old/.test(error.said))) throw error;
      this.#token = undefined;
      return this.#send<T>(path, body, options, await this.#signedIn(options));
    }
  };

  async #signedIn(options: CallOptions): Promise<string | undefined> {
    const { user: name, password } = this.#caller;
    const signIn = async () => {
      try {
        return (await this.#send<{ token: string }>("auth/authenticate", { name, password }, options)).token;
      } catch (error) {
        if (error instanceof AdminError && error.said.includes("authentication is not enabled")) return undefined;
        throw error;
      }
    };
    this.#token ??= signIn();
    return this.#token.catch((error: unknown) => {
      this.#token = undefined;
      throw error;
    });
  }

  async #send<T>(path: string, body: object, { member, signal }: CallOptions, token?: string): Promise<T> {
    const { access, endpoint, client } = this.#caller;
    const to = member === undefined ? endpoint : { ...endpoint, pod: member };
    const request = {
      path: `/v3/${path}`,
      body,
      ...(token === undefined ? {} : { headers: { authorization: token } }),
    };
    const { status, text } = await ask(access, to, client, request, signal);
    if (status === 200) return JSON.parse(text) as T;
    const { message, plain } = saidIn(text);
    const said = message ?? plain ?? "";
    throw new AdminError(status, `etcd ${path}`, said, "", said);
  }
}
