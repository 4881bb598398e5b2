/** What a soak does, as data: the long and the short form, the limits that must hold, and the phases of a rotation. */

export type RootKind = "cluster" | "stateHeld";

/** A platform for the soak, in a lab of its own. */
export interface PlatformForm {
  readonly root: RootKind;
  /** etcd members. */
  readonly members: 1 | 3;
  /** Numbers of gateway pods: leaves renew and roots rotate with each of these in turn. */
  readonly gateways: readonly number[];
}

export interface Form {
  readonly name: "long" | "short";
  readonly platforms: readonly PlatformForm[];
  /** How often every leaf is renewed with each number of gateway pods. */
  readonly rounds: number;
  /** Check every hop after each phase of a rotation. */
  readonly verify: boolean;
  /** Preview, refresh and check while every leaf renews again and again; on the last platform. */
  readonly steady?: { readonly turns: number; readonly everySeconds: number; readonly seconds: number };
  /** Compare nginx's handshakes with and without live leaves. */
  readonly handshakes: boolean;
}

export const forms: { readonly [Name in Form["name"]]: Form & { readonly name: Name } } = {
  long: {
    name: "long",
    platforms: [
      { root: "cluster", members: 1, gateways: [1, 2] },
      { root: "stateHeld", members: 3, gateways: [1, 2] },
    ],
    rounds: 5,
    verify: true,
    steady: { turns: 20, everySeconds: 30, seconds: 600 },
    handshakes: true,
  },
  short: {
    name: "short",
    platforms: [{ root: "cluster", members: 1, gateways: [1] }],
    rounds: 5,
    verify: false,
    handshakes: false,
  },
};

export const load = {
  /** New connections per second. */
  rate: 100,
  kept: 50,
  /** Connections made under the root that is withdrawn. */
  old: 10,
} as const;

export const limits = {
  /** 95th percentile from a Secret's change to the leaf's first handshake where the renewer delivers it, in seconds. */
  renewer: 3,
  /** The same where files are read, with the kubelet syncing this often, in seconds. */
  files: (sync: number) => 1.5 * sync + 2,
  /** Seconds that a write through the Admin API may take while a single etcd restarts. */
  write: 15,
  /** MiB. */
  renewerMemory: 96,
  /** Share of a CPU while nothing is renewed. */
  renewerCpu: 0.01,
  /** Handshakes with live leaves as a share of those with leaves that are read once. */
  handshakes: 0.85,
  /** How long the gateway lets a connection live, in seconds: `keepalive_time` and `keepalive_timeout`. */
  connection: { age: 60, idle: 60 },
} as const;

/** `pki.root` of a stack. */
export interface Roots {
  readonly kind: RootKind;
  readonly active: string;
  readonly trusted: readonly string[];
}

export const phases = ["prepare", "activate", "retire"] as const;
export type Phase = (typeof phases)[number];

/** The generation that a platform starts with. */
export const firstOf: { readonly [K in RootKind]: string } = { cluster: "1", stateHeld: "2026" };

/** `pki.root` in a phase of the rotation from one generation to the next. */
export function rootsIn(phase: Phase, kind: RootKind, from: string): Roots {
  const to = nextOf(from);
  return {
    kind,
    active: phase === "prepare" ? from : to,
    trusted: phase === "retire" ? [to] : [from, to],
  };
}

export const nextOf = (generation: string): string => String(Number(generation) + 1);
