// The refusal matrix: what each server must say to each bad certificate, and to each client that is wrong in another way.

import { type Plane, planes } from "@mtls-everywhere/vocabulary/planes";
import { type TlsVersion, tlsVersions } from "@mtls-everywhere/vocabulary/tlsPolicy";

import { type AlertName, type Outcome, type ServerHop, type Threat } from "../check.ts";
import * as tries from "./tries.ts";

/** What is expected at one server: any of these outcomes; or, as a sentence, why it is not checked. */
export type Cell = readonly Outcome[] | string;

interface Named {
  readonly case: string;
  /** What it stands for, everywhere or at some servers; at others, what a wrong client stands for there. */
  readonly threat?: Threat | Readonly<Partial<Record<ServerHop, Threat>>>;
}

/** What cannot be made here, for any server. */
interface Unmade extends Named {
  /** Why, as a sentence. */
  readonly why: string;
}

interface Made extends Named {
  /** Which plane it is about: that plane's own server has no such line. */
  readonly plane?: Plane;
  readonly tried: tries.Try;
  /** Asked on two connections, of which the second offers the first one's session. */
  readonly twice?: true;
  /** It shows that the right client is answered: where the checks have no such client's leaf, there is no such line. */
  readonly control?: true;
  readonly cells: Cells;
}

export type Row = Made | Unmade;
type Cells = Readonly<Record<ServerHop, Cell>>;

/** Which servers name their clients, where that depends on the stack. */
export interface Listed {
  /** The platform's own host does. */
  readonly gateway: boolean;
  readonly admin: boolean;
}

/** The rows in the report's order. */
export function matrix(listed: Listed): readonly Row[] {
  const newestFirst = tlsVersions.toReversed();
  return [
    ...newestFirst.flatMap((version) => certificateRows(version, listed)),
    {
      case: "certificate without its intermediate",
      tried: tries.incompleteChain,
      cells: unsigned,
    },
    {
      case: "certificate that is not valid yet",
      why: "cert-manager signs no leaf that begins later, and no other signer is trusted; the end-to-end test signs one with the lab's roots.",
    },
    {
      case: "certificate with a weak key",
      why: "The platform's signers are not asked to sign one, and no other signer is trusted.",
    },
    {
      case: "SNI that is not served",
      threat: { ...everywhere("T11" as const), gateway: "T2" },
      tried: tries.anotherName,
      cells: { ...everywhere<Cell>([{ kind: "misnamed" }]), gateway: noSuchName },
    },
    {
      case: "no SNI",
      threat: { gateway: "T2" },
      tried: tries.noName,
      cells: { ...everywhere<Cell>("This port has one certificate, whatever name is asked for."), gateway: noSuchName },
    },
    {
      case: "Host other than SNI",
      threat: { gateway: "T2" },
      tried: tries.anotherHost,
      cells: {
        ...everywhere<Cell>("This port serves the same for every Host."),
        gateway: answer(404, "Route Not Found"),
      },
    },
    ...newestFirst.map(sessionRow),
    { case: "TLS 1.1", threat: "T13", tried: tries.oldVersion, cells: everywhere(alert("protocol_version")) },
    { case: "weak suite", threat: "T13", tried: tries.weakSuite, cells: everywhere(alert("handshake_failure")) },
    {
      case: "client that trusts all other planes' roots",
      threat: "T11",
      tried: tries.trustingOthers,
      cells: everywhere<Cell>([{ kind: "untrusted" }]),
    },
  ];
}

function certificateRows(version: TlsVersion, listed: Listed): Made[] {
  // A client of TLS 1.3 believes that the handshake is over when this alert arrives.
  const missing = alert(version === "TLSv1.3" ? "certificate_required" : "handshake_failure");
  const row = (name: string, tried: tries.Try, cells: Cells): Made => ({
    ...{ case: `${name}, ${textOf(version)}`, tried: tries.over(version, tried), cells },
  });
  return [
    { ...row("right certificate", tries.right, everywhere(answer(200))), control: true },
    row("no certificate", tries.noCertificate, pagesAt(everywhere(missing), "No required SSL certificate was sent")),
    row("expired certificate", tries.expired, pagesAt(everywhere(alert("certificate_expired")))),
    row("self-signed certificate", tries.selfSigned, unsigned),
    row("certificate for servers", tries.serversOnly, {
      ...pagesAt(everywhere(alert("bad_certificate"))),
      // OpenSSL sends the first, and Go, which etcd and the lab's gateway are written in, the second.
      gateway: alert("unsupported_certificate", "bad_certificate"),
    }),
    ...planes.map((plane) => ({
      ...row(`certificate of the ${plane} plane`, tries.ofPlane(plane), unsigned),
      plane,
    })),
    {
      ...row("certificate of another identity", tries.anotherIdentity, {
        gateway: listed.gateway ? answer(403) : "The host admits every client of the edge plane.",
        "Admin API": listed.admin
          ? answer(403)
          : "The Admin API of this release admits every client of the admin plane.",
        etcd: "etcd admits every client of its plane, and tells them apart by user and password.",
        "etcd peers": "etcd admits every leaf of its peers' plane as a member's.",
        upstream: answer(403),
      }),
      threat: { gateway: "T15" },
    },
  ];
}

function sessionRow(version: TlsVersion): Row {
  const afresh = "etcd cannot be told not to resume; a resumed session's certificate is verified again.";
  return {
    case: `session of an earlier connection, ${textOf(version)}`,
    threat: "T12",
    tried: tries.over(version, tries.right),
    twice: true,
    cells: { ...everywhere<Cell>([{ kind: "session", resumed: false }]), etcd: afresh, "etcd peers": afresh },
  };
}

function textOf(version: TlsVersion): string {
  return version.replace("v", " ");
}

function everywhere<T>(cell: T): Readonly<Record<ServerHop, T>> {
  return { gateway: cell, "Admin API": cell, etcd: cell, "etcd peers": cell, upstream: cell };
}

/** The same, but where nginx answers: it lets the handshake finish, and refuses with a page. */
function pagesAt(cells: Cells, words = "The SSL certificate error"): Cells {
  return { ...cells, "Admin API": answer(400, words), upstream: answer(400, words) };
}

const unsigned = pagesAt(everywhere(alert("unknown_ca")));
const noSuchName = alert("internal_error");

function answer(status: number, words?: string): Cell {
  return [{ kind: "answer", status, ...(words === undefined ? {} : { words }) }];
}

function alert(...names: readonly AlertName[]): Cell {
  return names.map((name) => ({ kind: "alert", alert: name }));
}
