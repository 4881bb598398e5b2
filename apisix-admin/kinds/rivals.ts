// Routes that match the same requests: which of them answers is up to chance.

import { isDeepStrictEqual } from "node:util";

import type { Body } from "../body.ts";
import { ownershipOf } from "../ownership.ts";
import { methods } from "./methods.ts";

/** A sentence for each other route that matches some of the same requests at the same priority. */
export function rivalries(route: Body, others: readonly Body[]): string[] {
  return others.flatMap((other) => {
    const host = hosts(route).find((one) => hosts(other).includes(one));
    const path = paths(route).find((one) => paths(other).includes(one));
    if (host === undefined || path === undefined || toldApart(route, other)) return [];
    const { owner = "nobody that says so" } = ownershipOf(other);
    return [
      `"${path}" of ${host} is also taken by routes/${String(other["id"])} of ${owner}, and which of the two answers is up to chance. ` +
        "Unless that one is being removed, give them different paths, methods, vars or priorities.",
    ];
  });
}

/** A route without hosts, which others may have created, ranks below those with hosts. */
function hosts({ hosts, host }: Body): string[] {
  return listed(hosts ?? host).map((name) => name.toLowerCase());
}

function paths({ uris, uri }: Body): string[] {
  return listed(uris ?? uri);
}

function listed(value: unknown): string[] {
  return (Array.isArray(value) ? value : value === undefined ? [] : [value]).map(String);
}

/** Whether no request matches both, or the priority decides. Different conditions are taken to tell requests apart. */
function toldApart(one: Body, other: Body): boolean {
  if ([one, other].some(({ status = 1 }) => status === 0)) return true;
  if ((one["priority"] ?? 0) !== (other["priority"] ?? 0)) return true;
  if (!methodsOf(one).some((method) => methodsOf(other).includes(method))) return true;
  const [these, those] = [conditions(one), conditions(other)];
  return these !== undefined && those !== undefined && !isDeepStrictEqual(these, those);
}

function methodsOf({ methods: some }: Body): readonly string[] {
  return some === undefined ? methods : listed(some);
}

/** A route's conditions besides host, path and method. */
function conditions({ vars, filter_func, remote_addr, remote_addrs }: Body): unknown {
  const all = [vars, filter_func, remote_addr, remote_addrs];
  return all.some((condition) => condition !== undefined) ? all : undefined;
}
