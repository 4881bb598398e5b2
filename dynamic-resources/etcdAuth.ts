// The life cycle of etcd's users: auth is enabled once and kept as wanted; nothing is undone.

import { isDeepStrictEqual } from "node:util";

import { type Failure, hasUnknown, type Props } from "@mtls-everywhere/apisix-admin/checks";
import {
  type Access,
  AdminError,
  adviceFor,
  connectTo,
  type TimeLimits,
  timeLimitsOf,
  unlessMissing,
} from "@mtls-everywhere/cluster-access";
import type { EtcdEndpoint } from "@mtls-everywhere/vocabulary/endpoints";
import type { SecretKeyRef } from "@mtls-everywhere/vocabulary/references";

import { type AuthState, authSteps, EtcdAdmin, type EtcdUser } from "./etcd.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { hopeless } from "./loss.ts";

interface Inputs {
  readonly etcd: EtcdEndpoint;
  readonly root: SecretKeyRef;
  readonly users: readonly (EtcdUser & { readonly password: SecretKeyRef })[];
}

export const etcdAuth: Lifecycle = {
  async check(inputs) {
    const users = hasUnknown(inputs["users"]) ? [] : wantedUsers(inputs);
    return users.flatMap(({ name, prefix }, index): Failure[] => [
      ...(name && name !== "root"
        ? []
        : [{ property: `users[${index}].name`, reason: 'A user needs a name other than "root".' }]),
      ...(users.findIndex((other) => other.name === name) === index
        ? []
        : [{ property: `users[${index}].name`, reason: `"${name}" is listed twice.` }]),
      ...(prefix
        ? []
        : [
            { property: `users[${index}].prefix`, reason: "An empty prefix would grant access to every key: set one." },
          ]),
    ]);
  },

  replaces(_id, olds, news) {
    const clusters = [olds, news].map(({ etcd }) => (etcd as Partial<EtcdEndpoint> | undefined)?.cluster);
    return clusters[0] === clusters[1] || hasUnknown(news["etcd"]) ? [] : ["etcd"];
  },

  drift: (olds, news, access) =>
    withEtcd(news, access, timeLimitsOf(access).reading, async (etcd, passwords) =>
      authSteps(wantedUsers(news), gone(olds, news), await etcd.state({ ...none(gone(olds, news)), ...passwords })).map(
        ({ mends }) => mends,
      ),
    ),

  apply: (olds, news, access) =>
    withEtcd(news, access, timeLimitsOf(access).changing, async (etcd, passwords) => {
      const leaving = gone(olds, news);
      const missing = async () =>
        authSteps(wantedUsers(news), leaving, await etcd.state({ ...none(leaving), ...passwords }));
      let steps = await missing();
      while (steps.length > 0) {
        try {
          await etcd.take(steps, passwords);
          break;
        } catch (error) {
          // If its answer was lost, a step fails when repeated: what counts is whether it is still needed.
          if (!(error instanceof AdminError)) throw error;
          const left = await missing();
          if (isDeepStrictEqual(left, steps)) throw error;
          steps = left;
        }
      }
      return { id: (news["etcd"] as EtcdEndpoint).serverName, outs: { live: shown(await etcd.state(passwords)) } };
    }),

  read: (_id, props, access) =>
    unlessMissing(() =>
      withEtcd(props, access, timeLimitsOf(access).reading, async (etcd, passwords) => ({
        live: shown(await etcd.state(passwords)),
      })),
    ),

  // An etcd that is deleted takes its users with it; one that stays must not be left open.
  async remove() {},
};

async function withEtcd<T>(
  inputs: Props,
  access: Access,
  limits: TimeLimits,
  use: (etcd: EtcdAdmin, passwords: Record<string, string>) => Promise<T>,
): Promise<T> {
  const { etcd, root, users } = inputs as unknown as Inputs;
  await access.expect(etcd.cluster);
  const rootPassword = await access.secretValue(root);
  const passwords: Record<string, string> = {};
  for (const { name, password } of users) passwords[name] = await access.secretValue(password);
  const admin = new EtcdAdmin({
    ...limits,
    connect: connectTo(access, etcd),
    rootPassword,
    advice: adviceFor(etcd),
    hopeless: hopeless(() => access.missingOf(etcd)),
  });
  try {
    return await use(admin, passwords);
  } finally {
    admin.close();
  }
}

function wantedUsers(inputs: Props): Inputs["users"] {
  return (inputs["users"] ?? []) as Inputs["users"];
}

/** Users that this resource created and that are no longer listed. */
function gone(olds: Props | undefined, news: Props): string[] {
  const stay = wantedUsers(news).map(({ name }) => name);
  return wantedUsers(olds ?? {})
    .map(({ name }) => name)
    .filter((name) => !stay.includes(name));
}

/** Users to be deleted are looked up too, but have no password to try. */
function none(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, ""]));
}

function shown({ enabled, users, roles }: AuthState): Props {
  const text = (base64: string) => Buffer.from(base64, "base64").toString("utf8");
  const reach = Object.entries(roles).map(([role, permissions]) => [
    role,
    permissions.map(({ permType, key }) => `${permType} ${text(key)}`),
  ]);
  return { enabled, users, roles: Object.fromEntries(reach) };
}
