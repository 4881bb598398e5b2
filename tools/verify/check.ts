// The vocabulary of a check: what is expected, what was observed, and when the two match.

import { isUntrusted } from "@mtls-everywhere/cluster-access";
import type { OnePodPort, PodPort } from "@mtls-everywhere/vocabulary/references";

import type { Scene } from "./scene.ts";

/** The platform's servers, in the report's order. */
export const serverHops = ["gateway", "Admin API", "etcd", "etcd peers", "upstream"] as const;
export type ServerHop = (typeof serverHops)[number];

/** Where in the platform a check looks: at a server, or at the gateway as a client. */
export type Hop = ServerHop | "gateway to upstream";

/** A threat of docs/threat-model.md, by its number. */
export type Threat = `T${number}`;

/** One acceptable outcome of a case. */
export type Outcome =
  /** An HTTP response with this status and, if given, these words. */
  | { readonly kind: "answer"; readonly status: number; readonly words?: string }
  /** The server ended the connection with this TLS alert. */
  | { readonly kind: "alert"; readonly alert: AlertName }
  /** This client refused the server's certificate because it chains to no trusted root. */
  | { readonly kind: "untrusted" }
  /** This client refused the server's certificate because it is for another name. */
  | { readonly kind: "misnamed" }
  /** A response on a second connection that offered the first one's session. */
  | { readonly kind: "session"; readonly resumed: boolean }
  /** So many etcd members, all of them healthy. */
  | { readonly kind: "members"; readonly count: number };

/** What trying a case showed. */
export type Observation =
  | { readonly kind: "answer"; readonly status: number; readonly words: string; readonly body: string }
  | { readonly kind: "alert"; readonly number: number }
  | { readonly kind: "untrusted"; readonly reason: string }
  | { readonly kind: "misnamed" }
  | { readonly kind: "session"; readonly resumed: boolean }
  | { readonly kind: "members"; readonly count: number; readonly faults: readonly string[] }
  /** Anything that proves nothing, such as time-outs, resets and tunnel errors. Never right. */
  | { readonly kind: "failed"; readonly reason: string };

/** What every line of the report names. */
interface Named {
  readonly hop: Hop;
  readonly case: string;
  /** What it stands for. */
  readonly threat: Threat;
}

/** A case and how to try it. */
export interface Check extends Named {
  /** Any of these outcomes is right. */
  readonly expect: readonly Outcome[];
  /** It is tried at each ready pod behind this port. */
  readonly at: PodPort;
  /** Settles when the case can be tried, which starts the check's deadline. */
  readonly ready?: ((scene: Scene) => Promise<unknown>) | undefined;
  /**
   * Tries the case. Errors thrown are classified; there is no need to catch them.
   * @throws Uncheckable if there is no way to try it here.
   */
  readonly observe: (scene: Scene, at: OnePodPort, signal: AbortSignal) => Promise<Observation>;
}

/** A case that cannot be tried on any platform, or that its server does not refuse. */
export interface Unchecked extends Named {
  /** Why, as a sentence. */
  readonly why: string;
}

export type Line = Check | Unchecked;

/** The TLS alerts with which the platform's servers end a handshake (RFC 8446, section 6; RFC 5246, section 7.2). */
export const alerts = {
  handshake_failure: 40,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  unrecognized_name: 112,
  certificate_required: 116,
} as const;

export type AlertName = keyof typeof alerts;

/** Whether the observation matches one of the expected outcomes. */
export function isRight(expected: readonly Outcome[], observed: Observation): boolean {
  return expected.some((outcome) => {
    switch (outcome.kind) {
      case "answer":
        return (
          observed.kind === "answer" &&
          observed.status === outcome.status &&
          observed.words.includes(outcome.words ?? "")
        );
      case "alert":
        return observed.kind === "alert" && observed.number === alerts[outcome.alert];
      case "untrusted":
      case "misnamed":
        return observed.kind === outcome.kind;
      case "session":
        return observed.kind === "session" && observed.resumed === outcome.resumed;
      case "members":
        return observed.kind === "members" && observed.count === outcome.count && observed.faults.length === 0;
    }
  });
}

/** The outcomes as the report prints them. */
export function expectedText(expected: readonly Outcome[]): string {
  return expected
    .map((outcome) => {
      switch (outcome.kind) {
        case "answer":
          return outcome.words ? `${outcome.status} ${outcome.words}` : String(outcome.status);
        case "alert":
          return alertText(alerts[outcome.alert]);
        case "untrusted":
          return untrustedText;
        case "misnamed":
          return misnamedText;
        case "session":
          return sessionText(outcome);
        case "members":
          return membersText(outcome);
      }
    })
    .join(" or ");
}

/** The observation as the report prints it. */
export function observedText(observed: Observation): string {
  switch (observed.kind) {
    case "answer":
      return observed.words ? `${observed.status} ${observed.words}` : String(observed.status);
    case "alert":
      return alertText(observed.number);
    case "untrusted":
      return untrustedText;
    case "misnamed":
      return misnamedText;
    case "session":
      return sessionText(observed);
    case "members":
      return membersText(observed);
    case "failed":
      return `failed: ${observed.reason}`;
  }
}

/**
 * What a connection error proves: an alert sent by the server, this client's own refusal, or nothing.
 * OpenSSL's names for alerts vary between versions; their numbers do not.
 */
export function classify(error: unknown): Observation {
  const failure: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error));
  const { message, code } = failure;
  const alert = /SSL alert number (\d+)/.exec(message);
  if (alert) return { kind: "alert", number: Number(alert[1]) };
  if (code !== undefined && isUntrusted(failure)) return { kind: "untrusted", reason: code };
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return { kind: "misnamed" };
  const reason = message.split("\n")[0] || "unknown error";
  return { kind: "failed", reason: code && !reason.includes(code) ? `${code}: ${reason}` : reason };
}

const untrustedText = "client refuses the server";
const misnamedText = "client refuses the server's name";

function sessionText({ resumed }: { readonly resumed: boolean }): string {
  return resumed ? "resumed" : "not resumed";
}

function membersText({ count, faults = [] }: { readonly count: number; readonly faults?: readonly string[] }): string {
  const members = `${count} member${count === 1 ? "" : "s"}`;
  return faults.length === 0 ? `${members}, all healthy` : `${members}: ${faults.join("; ")}`;
}

function alertText(number: number): string {
  const name = Object.entries(alerts).find(([, known]) => known === number)?.[0] ?? "unknown";
  return `alert ${name} (${number})`;
}
