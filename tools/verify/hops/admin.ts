// Operators to the Admin API: it takes both certificate and key, and refuses either alone.

import { randomUUID } from "node:crypto";

import type { PlatformOutputs } from "../../../outputs.ts";
import type { Check } from "../check.ts";
import { observe } from "../http.ts";
import { adminRequest } from "../matrix/servers.ts";

export function adminLines({ admin }: PlatformOutputs): readonly Check[] {
  const check = (name: string, key: string | undefined, words: string): Check => ({
    ...{ hop: "Admin API", case: name, threat: "T3", at: admin },
    expect: [{ kind: "answer", status: 401, words }],
    observe: ({ access, material: { roots, own } }, to, signal) =>
      observe(access, to, { ca: roots.admin, pair: own.admin }, adminRequest(key), signal),
  });
  return [
    check("certificate with a wrong key", randomUUID(), "wrong apikey"),
    check("certificate without key", undefined, "missing apikey"),
  ];
}
