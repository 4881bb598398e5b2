// APISIX to etcd, beyond the certificates: the password opens APISIX's own keys and no others, and every member is known.

import { randomUUID } from "node:crypto";

import { type KeyPair, until } from "@mtls-everywhere/cluster-access";
import type { OnePodPort } from "@mtls-everywhere/vocabulary/references";

import type { PlatformOutputs } from "../../../outputs.ts";
import type { Check, Observation, Outcome } from "../check.ts";
import { ask, observe, observed } from "../http.ts";
import { memberFaults, seeMembers } from "../members.ts";
import type { Scene } from "../scene.ts";
import { StoreSession } from "../storeSession.ts";

export function storeLines({ store }: PlatformOutputs): readonly Check[] {
  const client = ({ material: { roots, own } }: Scene) => ({ ca: roots.etcd, pair: own.etcd });

  const signIn = (scene: Scene, to: OnePodPort, password: string, signal: AbortSignal) => {
    const credentials = { name: store.user, password };
    return ask(scene.access, to, client(scene), { path: "/v3/auth/authenticate", body: credentials }, signal);
  };

  const asApisix =
    (range: Range): Check["observe"] =>
    async (scene, to, signal) => {
      const signedIn = await signIn(scene, to, scene.material.storePassword, signal);
      if (signedIn.status !== 200) return observed(signedIn);
      const { token } = JSON.parse(signedIn.text) as { token: string };
      const request = { path: "/v3/kv/range", body: range, headers: { authorization: token } };
      return observe(scene.access, to, client(scene), request, signal);
    };

  /** Asks for APISIX's keys with nothing but a certificate. */
  const anonymous = ({ access, material: { roots } }: Scene, to: OnePodPort, pair: KeyPair, signal: AbortSignal) => {
    const request = { path: "/v3/kv/range", body: inside(store.prefix) };
    return observe(access, to, { ca: roots.etcd, pair }, request, signal);
  };

  const members = async (
    scene: Scene,
    to: OnePodPort,
    expected: readonly string[],
    signal: AbortSignal,
  ): Promise<Observation> => {
    const { call } = new StoreSession({
      ...{ access: scene.access, endpoint: store, client: client(scene) },
      ...{ user: store.user, password: scene.material.storePassword },
    });
    let count = 0;
    let faults: readonly string[] = [];
    await until(
      async () => {
        const seen = await seeMembers(call, expected, signal, to.pod);
        count = seen.members.length;
        faults = memberFaults(seen, expected);
        return faults.length === 0;
      },
      { within: 5_000, signal },
    );
    return { kind: "members", count, faults };
  };

  const line = (name: string, expect: readonly Outcome[], how: Check["observe"]): Check => ({
    ...{ hop: "etcd", case: name, threat: "T6", at: store },
    ...{ expect, observe: how },
  });

  const { members: expected } = store;
  return [
    line("APISIX's leaf and password, own prefix", [{ kind: "answer", status: 200 }], asApisix(inside(store.prefix))),
    line("APISIX's leaf and password, other keys", [permissionDenied], asApisix(outside)),
    line("APISIX's leaf with a wrong password", [wrongPassword], async (scene, to, signal) =>
      observed(await signIn(scene, to, randomUUID(), signal)),
    ),
    line("APISIX's leaf without password", [permissionDenied, nameless], (scene, to, signal) =>
      anonymous(scene, to, client(scene).pair, signal),
    ),
    line("another identity's leaf without password", [permissionDenied, nameless], async (scene, to, signal) =>
      anonymous(scene, to, await scene.material.leaves.of("client", "etcd"), signal),
    ),
    // Outputs of 0.1 do not name them.
    ...(expected === undefined
      ? []
      : [
          {
            ...line("members", [{ kind: "members", count: expected.length }], (scene, to, signal) =>
              members(scene, to, expected, signal),
            ),
            threat: "T8" as const,
          },
        ]),
  ];
}

const permissionDenied: Outcome = { kind: "answer", status: 403, words: "permission denied" };
/** Depending on version and call, etcd denies the anonymous user permission or objects to the empty name. */
const nameless: Outcome = { kind: "answer", status: 400, words: "user name is empty" };
const wrongPassword: Outcome = { kind: "answer", status: 400, words: "authentication failed" };

/** A range request to etcd's JSON gateway. It only counts keys: the values include APISIX's private keys. */
interface Range {
  readonly key: string;
  readonly range_end?: string;
  readonly count_only: true;
}

function inside(prefix: string): Range {
  const folder = prefix.replace(/\/?$/, "/");
  // "0" follows "/" in ASCII, so the range is everything that starts with the folder.
  return { key: base64(folder), range_end: base64(folder.replace(/\/$/, "0")), count_only: true };
}

const outside: Range = { key: base64("mtls-everywhere.verify"), count_only: true };

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
