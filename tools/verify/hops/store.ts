// APISIX to etcd, and etcd members to each other: a leaf opens the client port, a password the keys, and neither the peer port.

import { type Access, type KeyPair, until } from "@mtls-everywhere/cluster-access";

import type { PlatformOutputs } from "../../../outputs.ts";
import type { AlertName, Check, Observation, Outcome } from "../check.ts";
import { ask, observe, observed } from "../http.ts";
import type { Material } from "../material.ts";
import { memberFaults, seeMembers } from "../members.ts";
import { StoreSession } from "../storeSession.ts";

export function storeChecks({ store }: PlatformOutputs, material: Material, access: Access): readonly Check[] {
  const { roots, edge, etcd, apisixStore } = material;

  const asApisix = async (range: Range, signal: AbortSignal): Promise<Observation> => {
    const client = { ca: roots.etcd, pair: apisixStore };
    const credentials = { name: store.user, password: material.storePassword };
    const signedIn = await ask(access, store, client, { path: "/v3/auth/authenticate", body: credentials }, signal);
    if (signedIn.status !== 200) return observed(signedIn);
    const { token } = JSON.parse(signedIn.text) as { token: string };
    const request = { path: "/v3/kv/range", body: range, headers: { authorization: token } };
    return observe(access, store, client, request, signal);
  };

  const members = async (expected: readonly string[], signal: AbortSignal): Promise<Observation> => {
    const { call } = new StoreSession({
      ...{ access, endpoint: store, client: { ca: roots.etcd, pair: apisixStore } },
      ...{ user: store.user, password: material.storePassword },
    });
    let count = 0;
    let faults: readonly string[] = [];
    await until(
      async () => {
        const seen = await seeMembers(call, expected, signal);
        count = seen.members.length;
        faults = memberFaults(seen, expected);
        return faults.length === 0;
      },
      { within: 5_000, signal },
    );
    return { kind: "members", count, faults };
  };

  const refused = (hop: "etcd" | "etcd peers", name: string, pair: KeyPair | undefined, alert: AlertName): Check => ({
    hop,
    case: name,
    expect: [{ kind: "alert", alert }],
    observe: (signal) =>
      observe(
        access,
        hop === "etcd" ? store : store.peer,
        { ca: hop === "etcd" ? roots.etcd : roots["etcd-peer"], ...(pair ? { pair } : {}), minVersion: "TLSv1.3" },
        { path: "/version" },
        signal,
      ),
  });

  const { members: expected } = store;
  return [
    // Outputs of 0.1 do not name them.
    ...(expected === undefined
      ? []
      : [
          {
            ...({ hop: "etcd", case: "members" } as const),
            expect: [{ kind: "members", count: expected.length }] as const,
            observe: (signal: AbortSignal) => members(expected, signal),
          },
        ]),
    {
      hop: "etcd",
      case: "APISIX's leaf and password, own prefix",
      expect: [{ kind: "answer", status: 200 }],
      observe: (signal) => asApisix(inside(store.prefix), signal),
    },
    {
      hop: "etcd",
      case: "APISIX's leaf and password, other keys",
      expect: [permissionDenied],
      observe: (signal) => asApisix(outside, signal),
    },
    {
      hop: "etcd",
      case: "etcd leaf without password",
      // Depending on version and call, etcd denies the anonymous user permission or objects to the empty name.
      expect: [permissionDenied, { kind: "answer", status: 400, words: "user name is empty" }],
      observe: (signal) =>
        observe(
          access,
          store,
          { ca: roots.etcd, pair: etcd },
          { path: "/v3/kv/range", body: inside(store.prefix) },
          signal,
        ),
    },
    refused("etcd", "no certificate", undefined, "certificate_required"),
    refused("etcd", "edge certificate", edge, "unknown_ca"),
    refused("etcd peers", "no certificate", undefined, "certificate_required"),
    refused("etcd peers", "APISIX's etcd leaf", apisixStore, "unknown_ca"),
  ];
}

const permissionDenied: Outcome = { kind: "answer", status: 403, words: "permission denied" };

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
