// etcd's status for people: a line for each member, then what is wrong and what to do next.

import { table } from "../table.ts";
import { memberFaults, type SeenMembers } from "../verify/members.ts";

/** What to report. */
export interface StoreStatus {
  readonly members: readonly MemberRow[];
  /** What is wrong, one by one. */
  readonly faults: readonly string[];
  /** What to do about it. */
  readonly next: readonly string[];
}

export interface MemberRow {
  readonly name: string;
  readonly role: "leader" | "follower" | "learner" | "";
  /** Bytes of its database. */
  readonly size?: number;
  readonly version?: string;
}

/** Members that there should be: by the StatefulSet, and by the stack's last `up`. */
export interface Expected {
  readonly pods: readonly string[];
  readonly outputs: readonly string[];
  readonly stack: string;
}

export function statusOfStore(seen: SeenMembers, { pods, outputs, stack }: Expected): StoreStatus {
  const names = [...new Set([...pods, ...seen.members.map(({ name }) => name).filter((name) => name !== "")])].sort();
  const members = names.map((name): MemberRow => {
    const status = seen.said[name];
    if (status === undefined || status instanceof Error) return { name, role: "" };
    const role = status.learner ? "learner" : status.leader === status.id ? "leader" : "follower";
    return { name, role, size: status.size, version: status.version };
  });
  const faults = memberFaults(seen, pods);
  const silent = pods.filter((name) => faults.some((fault) => fault.startsWith(`${name} `)));
  const scale = `node tools/etcd/cli.ts scale ${outputs.length} -s ${stack}`;
  return {
    members,
    faults,
    next: [
      ...silent.map((name) => `If the volume of ${name} is lost: node tools/etcd/cli.ts replace ${name} -s ${stack}`),
      ...(pods.length === outputs.length
        ? []
        : [
            `The last pulumi up was for ${outputs.length}: set etcd.replicas to ${pods.length} and run pulumi up -s ${stack}, or go back: ${scale}`,
          ]),
    ],
  };
}

/** The whole text, newline at the end. */
export function render({ members, faults, next }: StoreStatus): string {
  const rows = members.map(({ name, role, size, version = "" }) => [
    ...[name, role || "no answer", size === undefined ? "" : `${(size / 2 ** 20).toFixed(1)} MiB`, version],
  ]);
  const heads = ["Member", "Role", "Database", "Version"];
  const all = `${members.length} member${members.length === 1 ? "" : "s"}`;
  const summary = faults.length === 0 ? [`${all}, all healthy`] : faults;
  return [...table(heads, rows), "", ...summary, ...next, ""].join("\n");
}
