// etcd's users and roles over its JSON gateway: what is live, and the steps from there to what is wanted.

import {
  AdminError,
  type Connect,
  type TimeLimits,
  persistently,
  saidIn,
  Transport,
  Unavailable,
} from "@mtls-everywhere/cluster-access";

/** A user confined to the keys that start with its prefix; its role has the same name. */
export interface EtcdUser {
  readonly name: string;
  readonly prefix: string;
}

/** What etcd holds about the users in question. */
export interface AuthState {
  readonly enabled: boolean;
  /** Roles by user. Absent users don't exist. */
  readonly users: { readonly [name: string]: readonly string[] };
  /** Permissions by role. */
  readonly roles: { readonly [name: string]: readonly Permission[] };
  /** Users whose wanted password etcd rejects; unknown while auth is off. */
  readonly refused: readonly string[];
}

export interface Permission {
  readonly permType: "READ" | "WRITE" | "READWRITE";
  /** Base64, as is range_end: the first key past the range. */
  readonly key: string;
  readonly range_end: string;
}

/** One call to the gateway, and in words what it mends. */
export interface AuthStep {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** The user whose password goes into the body. */
  readonly passwordOf?: string;
  readonly mends: string;
}

/** The steps to the wanted users, auth enabled last: it needs root, and locks out anyone without a user. Users in `gone` are deleted. */
export function authSteps(wanted: readonly EtcdUser[], gone: readonly string[], live: AuthState): AuthStep[] {
  return [
    ...userSteps("root", ["root"], live),
    ...wanted.flatMap((user) => [...roleSteps(user, live), ...userSteps(user.name, [user.name], live)]),
    ...gone.flatMap((name) => [
      ...(live.users[name] ? [{ path: "user/delete", body: { name }, mends: `user ${name} should not exist` }] : []),
      ...(live.roles[name]
        ? [{ path: "role/delete", body: { role: name }, mends: `role ${name} should not exist` }]
        : []),
    ]),
    ...(live.enabled ? [] : [{ path: "enable", body: {}, mends: "authentication is not enabled" }]),
  ];
}

/** The permission to read and write all keys that start with a prefix. */
export function permissionOn(prefix: string): Permission {
  const key = Buffer.from(prefix);
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1; // No UTF-8 byte is 0xff.
  return { permType: "READWRITE", key: key.toString("base64"), range_end: end.toString("base64") };
}

/** The fields of the gateway's answers that are used. */
interface Answer {
  readonly token?: string;
  readonly users?: readonly string[];
  readonly roles?: readonly string[];
  readonly perm?: readonly Partial<Permission>[];
}

export interface EtcdOptions extends TimeLimits {
  readonly connect: Connect;
  readonly rootPassword: string;
}

/** Acts as root once auth is enabled, and without a user before. */
export class EtcdAdmin {
  readonly #options: EtcdOptions;
  readonly #transport: Transport;
  #token: string | undefined;

  constructor(options: EtcdOptions) {
    this.#options = options;
    this.#transport = new Transport(options.connect, 1);
  }

  /** What etcd holds about root and the named users. */
  async state(passwords: { readonly [user: string]: string }): Promise<AuthState> {
    const names = Object.keys(passwords);
    const enabled = await this.#signIn();
    const present = (await this.#call("user/list")).users ?? [];
    const known = (await this.#call("role/list")).roles ?? [];
    const users: Record<string, readonly string[]> = {};
    for (const name of ["root", ...names].filter((name) => present.includes(name))) {
      users[name] = (await this.#call("user/get", { name })).roles ?? [];
    }
    const roles: Record<string, readonly Permission[]> = {};
    for (const role of names.filter((name) => known.includes(name))) {
      const granted = (await this.#call("role/get", { role })).perm ?? [];
      // The gateway leaves out what has its default value.
      roles[role] = granted.map(({ permType = "READ", key = "", range_end = "" }) => ({ permType, key, range_end }));
    }
    const refused: string[] = [];
    for (const name of enabled ? names.filter((name) => present.includes(name)) : []) {
      if (!(await this.#accepts(name, passwords[name]!))) refused.push(name);
    }
    return { enabled, users, roles, refused };
  }

  /** Takes the steps in order. A retry after a failure starts from the live state and loses nothing. */
  async take(steps: readonly AuthStep[], passwords: { readonly [user: string]: string }): Promise<void> {
    for (const { path, body, passwordOf } of steps) {
      const password = passwordOf === "root" ? this.#options.rootPassword : passwordOf && passwords[passwordOf];
      await this.#call(path, password === undefined ? body : { ...body, password });
    }
  }

  /** Whether users are asked for at all, whatever root's password is. */
  async asksForUsers(): Promise<boolean> {
    try {
      return await this.#signIn();
    } catch (error) {
      if (error instanceof AdminError) return true;
      throw error;
    }
  }

  close(): void {
    this.#transport.close();
  }

  /** Whether auth is enabled; if so, later calls carry root's token. */
  async #signIn(): Promise<boolean> {
    try {
      const { token } = await this.#call("authenticate", { name: "root", password: this.#options.rootPassword });
      this.#token = token;
      return true;
    } catch (error) {
      if (error instanceof AdminError && error.said.includes("authentication is not enabled")) return false;
      throw error;
    }
  }

  async #accepts(name: string, password: string): Promise<boolean> {
    try {
      await this.#call("authenticate", { name, password });
      return true;
    } catch (error) {
      if (error instanceof AdminError && error.said.includes("authentication failed")) return false;
      throw error;
    }
  }

  async #call(path: string, body: object = {}): Promise<Answer> {
    const what = `etcd auth/${path}`;
    return persistently(what, this.#options, async (signal) => {
      const headers = { host: "etcd", ...(this.#token && { authorization: this.#token }) };
      const request = { path: `/v3/auth/${path}`, headers, body };
      const { status, text } = await this.#transport.send(request, signal);
      if (status === 200) return JSON.parse(text) as Answer;
      // Most refusals are JSON, a few are plain text.
      const { message, plain } = saidIn(text);
      const said = message ?? plain ?? "";
      // Raft is between leaders, or the token predates the last change of users.
      if (status >= 502 || said.includes("auth store is old"))
        throw new Unavailable(`${what}: ${said} (HTTP ${status})`);
      throw new AdminError(status, what, said, hintFor(said), said);
    });
  }
}

function userSteps(name: string, roles: readonly string[], live: AuthState): AuthStep[] {
  const held = live.users[name];
  const password = { passwordOf: name };
  const account: AuthStep[] =
    held === undefined
      ? [{ path: "user/add", body: { name }, ...password, mends: `user ${name} is missing` }]
      : !live.enabled || live.refused.includes(name)
        ? [{ path: "user/changepw", body: { name }, ...password, mends: `user ${name} may have another password` }]
        : [];
  const missing = roles.filter((role) => !held?.includes(role));
  const extra = (held ?? []).filter((role) => !roles.includes(role));
  return [
    ...account,
    ...missing.map((role) => ({
      path: "user/grant",
      body: { user: name, role },
      mends: `user ${name} lacks role ${role}`,
    })),
    ...extra.map((role) => ({
      path: "user/revoke",
      body: { name, role },
      mends: `user ${name} should not have role ${role}`,
    })),
  ];
}

function roleSteps({ name, prefix }: EtcdUser, live: AuthState): AuthStep[] {
  const held = live.roles[name];
  const wanted = permissionOn(prefix);
  const isWanted = (held: Permission) =>
    held.permType === wanted.permType && held.key === wanted.key && held.range_end === wanted.range_end;
  // Granting the same range with another type replaces it, so only other ranges are revoked.
  const extra = (held ?? []).filter(({ key, range_end }) => key !== wanted.key || range_end !== wanted.range_end);
  return [
    ...(held ? [] : [{ path: "role/add", body: { name }, mends: `role ${name} is missing` }]),
    ...extra.map(({ key, range_end }) => ({
      path: "role/revoke",
      body: { role: name, key, range_end },
      mends: `role ${name} should not reach ${Buffer.from(key, "base64").toString()}`,
    })),
    ...(held?.some(isWanted)
      ? []
      : [{ path: "role/grant", body: { name, perm: wanted }, mends: `role ${name} may not read and write ${prefix}` }]),
  ];
}

function hintFor(said: string): string {
  if (said.includes("authentication failed")) {
    return "etcd's root password differs from the one in the Secret that root names: put the old one back, change it with `etcdctl user passwd root`, then in the Secret.";
  }
  if (said.includes("CommonName"))
    return "The client certificate must have an empty subject: etcd's JSON gateway refuses a common name.";
  return "";
}
