// The one place where an observation is compared with what was expected.

import { deepEqual, ok } from "node:assert/strict";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

import { type Access } from "../../../cluster-access/access.ts";
import { handshake } from "../../../cluster-access/handshake.ts";
import {
  type Check,
  classify,
  expectedText,
  isRight,
  type Line,
  type Observation,
  observedText,
  type Outcome,
} from "../../../tools/verify/check.ts";
import { observe, observed } from "../../../tools/verify/http.ts";
import { attempt, Judge, resultOf } from "../../../tools/verify/judge.ts";
import type { Scene } from "../../../tools/verify/scene.ts";
import { Uncheckable } from "../../../tools/verify/unchecked.ts";

const answer = (status: number, words = ""): Observation => ({ kind: "answer", status, words, body: "" });
const alert = (number: number): Observation => ({ kind: "alert", number });
const untrusted: Observation = { kind: "untrusted", reason: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" };
const misnamed: Observation = { kind: "misnamed" };
const failed: Observation = { kind: "failed", reason: "ECONNRESET: read ECONNRESET" };

describe("judging an observation", () => {
  const observations = [
    answer(200),
    answer(400, "No required SSL certificate was sent"),
    answer(400, "The SSL certificate error"),
    alert(48),
    alert(116),
    untrusted,
    { kind: "session", resumed: true },
    { kind: "session", resumed: false },
    { kind: "members", count: 3, faults: [] },
    { kind: "members", count: 3, faults: ["etcd-1 does not answer"] },
    misnamed,
    failed,
  ] as const satisfies readonly Observation[];
  /** Which of the observations are right. */
  const right = (...expected: Outcome[]) =>
    observations.flatMap((observation, index) => (isRight(expected, observation) ? [index] : []));

  it("accepts exactly the expected outcomes, and never a failure", () => {
    deepEqual(
      [
        right({ kind: "answer", status: 200 }),
        right({ kind: "answer", status: 400, words: "SSL certificate error" }),
        right({ kind: "answer", status: 400 }, { kind: "untrusted" }),
        right({ kind: "alert", alert: "unknown_ca" }),
        right({ kind: "untrusted" }),
        right({ kind: "misnamed" }),
        right({ kind: "session", resumed: false }),
        right({ kind: "members", count: 3 }),
        right({ kind: "members", count: 1 }),
        right(),
      ],
      [[0], [2], [1, 2, 5], [3], [5], [10], [7], [8], [], []],
    );
  });

  it("says both in the same words", () => {
    deepEqual(
      [
        expectedText([{ kind: "alert", alert: "certificate_required" }]),
        expectedText([
          { kind: "answer", status: 403, words: "permission denied" },
          { kind: "answer", status: 404 },
        ]),
        expectedText([{ kind: "untrusted" }, { kind: "misnamed" }]),
        expectedText([{ kind: "session", resumed: false }]),
        expectedText([{ kind: "members", count: 1 }]),
        ...[...observations, alert(99)].map(observedText),
      ],
      [
        "alert certificate_required (116)",
        "403 permission denied or 404",
        "client refuses the server or client refuses the server's name",
        "not resumed",
        "1 member, all healthy",
        "200",
        "400 No required SSL certificate was sent",
        "400 The SSL certificate error",
        "alert unknown_ca (48)",
        "alert certificate_required (116)",
        "client refuses the server",
        "resumed",
        "not resumed",
        "3 members, all healthy",
        "3 members: etcd-1 does not answer",
        "client refuses the server's name",
        "failed: ECONNRESET: read ECONNRESET",
        "alert unknown (99)",
      ],
    );
  });
});

describe("what a connection error proves", () => {
  const error = (message: string, code?: string) => Object.assign(new Error(message), code ? { code } : {});
  const openssl = "error:0A000410:SSL routines:ssl3_read_bytes";

  it("is an alert only by the number that the server sent, whatever OpenSSL calls it", () => {
    deepEqual(
      [
        error(
          `${openssl}:ssl/tls alert handshake failure:rec_layer_s3.c:918:SSL alert number 40\n`,
          "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE",
        ),
        error(
          `${openssl}:sslv3 alert handshake failure:rec_layer_s3.c:916:SSL alert number 40\n`,
          "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
        ),
        error(`${openssl}:wrong version number:rec_layer_s3.c:918:\nmore`, "ERR_SSL_WRONG_VERSION_NUMBER"),
        error("unable to verify the first certificate", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
        error("self-signed certificate in certificate chain", "SELF_SIGNED_CERT_IN_CHAIN"),
        error("certificate has expired", "CERT_HAS_EXPIRED"),
        error("Hostname/IP does not match certificate's altnames", "ERR_TLS_CERT_ALTNAME_INVALID"),
        error("connect ECONNREFUSED 127.0.0.1:1", "ECONNREFUSED"),
        error("socket hang up", "ECONNRESET"),
        error("no answer within 10 s"),
        "a string",
      ].map(classify),
      [
        { kind: "alert", number: 40 },
        { kind: "alert", number: 40 },
        { kind: "failed", reason: `ERR_SSL_WRONG_VERSION_NUMBER: ${openssl}:wrong version number:rec_layer_s3.c:918:` },
        { kind: "untrusted", reason: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" },
        { kind: "untrusted", reason: "SELF_SIGNED_CERT_IN_CHAIN" },
        { kind: "failed", reason: "CERT_HAS_EXPIRED: certificate has expired" },
        { kind: "misnamed" },
        { kind: "failed", reason: "connect ECONNREFUSED 127.0.0.1:1" },
        { kind: "failed", reason: "ECONNRESET: socket hang up" },
        { kind: "failed", reason: "no answer within 10 s" },
        { kind: "failed", reason: "a string" },
      ],
    );
  });

  it("is described in the server's own words if it answers", () => {
    deepEqual(
      [
        { status: 200, text: '{ "hello": "world" }' },
        { status: 400, text: "<html>\r\n<head><title>400 The SSL certificate error</title></head></html>" },
        { status: 401, text: '{"error_msg":"failed to check token","description":"wrong apikey"}\n' },
        { status: 404, text: '{"error_msg":"404 Route Not Found"}\n' },
        { status: 404, text: "404 page not found\n" },
        { status: 403, text: '{"code":7, "message":"etcdserver: permission denied"}' },
        { status: 500, text: "" },
      ].map((answer) => observedText(observed(answer))),
      [
        "200",
        "400 The SSL certificate error",
        "401 wrong apikey",
        "404 Route Not Found",
        "404 page not found",
        "403 etcdserver: permission denied",
        "500",
      ],
    );
  });
});

/** The checks of this file use nothing of it but the list of pods. */
const sceneOf = (readyPods: () => Promise<string[]> = async () => []) =>
  ({ access: { readyPods } }) as unknown as Scene;
const to = { namespace: "n", selector: "s", port: 1, serverName: "server.test" };
const anywhere = new AbortController().signal;
const expect: Check["expect"] = [{ kind: "alert", alert: "certificate_required" }];
const line = { hop: "gateway", case: "no certificate", threat: "T1", at: to, expect } as const;
const judged = (observed: string, ok: boolean) => ({
  ...{ hop: "gateway", case: "no certificate", threat: "T1", expected: "alert certificate_required (116)" },
  ...{ observed, verdict: ok ? "right" : "wrong", ok, ms: 0 },
});

describe("an attempt", () => {
  /** Tries a server that treats connections like this, expecting a refusal by alert. */
  const attemptAt = async (treat: (socket: Socket, number: number) => void, within: number) => {
    let connections = 0;
    const server = createServer({}, (socket) => {
      connections += 1;
      treat(
        socket.on("error", () => undefined),
        connections,
      );
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const access: Pick<Access, "connect"> = {
      connect: ({ port }, _client, signal) => {
        const socket = connect(port, "127.0.0.1");
        signal?.addEventListener("abort", () => socket.destroy());
        return handshake({ socket }, "server.test", { ca: "" });
      },
    };
    const check: Check = {
      ...line,
      observe: (_scene, at, signal) => observe(access, at, { ca: "" }, { path: "/" }, signal),
    };
    try {
      const tried = await attempt(check, sceneOf(), { ...to, port }, anywhere, within);
      return { ...resultOf(check, [tried]), ms: 0, connections };
    } finally {
      server.close();
    }
  };
  const reset = (socket: Socket) => socket.once("data", () => socket.destroy());
  const alerts = (number: number) => (socket: Socket) =>
    socket.once("data", () => socket.end(Buffer.of(21, 3, 3, 0, 2, 2, number)));

  it("is wrong if the server says nothing in time", async () => {
    deepEqual(await attemptAt(() => undefined, 100), {
      ...judged("failed: no answer within 0.1 s", false),
      connections: 1,
    });
  });

  it("is retried if the connection breaks, and wrong if the server never says why (case 23)", async () => {
    const { connections, ...result } = await attemptAt(reset, 1_000);
    const reason = "ECONNRESET: Client network socket disconnected before secure TLS connection was established";
    deepEqual(result, judged(`failed: ${reason}`, false));
    ok(connections > 1);
  });

  it("is right if a later try shows what was expected", async () => {
    const treat = (socket: Socket, number: number) => (number < 3 ? reset : alerts(116))(socket);
    deepEqual(await attemptAt(treat, 60_000), { ...judged("alert certificate_required (116)", true), connections: 3 });
  });

  it("is not retried once the server has said something else", async () => {
    const treat = (socket: Socket, number: number) => alerts(number === 1 ? 80 : 116)(socket);
    deepEqual(await attemptAt(treat, 60_000), { ...judged("alert internal_error (80)", false), connections: 1 });
  });
});

describe("a line of the report", () => {
  const refused = async (): Promise<Observation> => ({ kind: "alert", number: 116 });
  const judge = async (one: Line, ...ready: string[][]) => {
    const pods = async () => (ready.length > 1 ? ready.shift()! : ready[0]!);
    const { result } = await new Judge(sceneOf(pods), anywhere, 1).judge(one);
    return { ...result, ms: 0 };
  };

  it("is right only if every ready pod is", async () => {
    const observe: Check["observe"] = async (_scene, { pod }) => (pod === "b" ? alert(48) : refused());
    deepEqual(
      [await judge({ ...line, observe: refused }, ["a", "b"]), await judge({ ...line, observe }, ["a", "b", "c"])],
      [
        judged("alert certificate_required (116)", true),
        judged(
          "a: alert certificate_required (116); b: alert unknown_ca (48); c: alert certificate_required (116)",
          false,
        ),
      ],
    );
  });

  it("says nothing of a pod that has left in the meantime, unless it was the only one", async () => {
    const observe: Check["observe"] = async (_scene, { pod }) => {
      if (pod === "b") throw new Error("gone");
      return refused();
    };
    deepEqual(
      [
        await judge({ ...line, observe }, ["a", "b"], ["a"]),
        await judge({ ...line, observe }, ["b"], ["c"]),
        await judge({ ...line, observe }, ["a", "b"]),
      ],
      [
        judged("alert certificate_required (116)", true),
        judged("failed: gone", false),
        judged("a: alert certificate_required (116); b: failed: gone", false),
      ],
    );
  });

  it("is wrong if it cannot get what it needs, or no pod is ready", async () => {
    const ready = () => Promise.reject(new Error("Issuer edge did not sign"));
    const { result } = await new Judge(
      sceneOf(() => Promise.reject(new Error("No ready pod matches s"))),
      anywhere,
      1,
    ).judge({ ...line, observe: refused });
    deepEqual(
      [await judge({ ...line, ready, observe: refused }, ["a"]), result],
      [judged("failed: Issuer edge did not sign", false), judged("failed: No ready pod matches s", false)],
    );
  });

  it("is not checked, and says why, if there is no way to try it", async () => {
    const uncheckable = () => Promise.reject(new Uncheckable("Nobody signs it."));
    const { at: _at, expect: _expect, ...unmade } = line;
    const result = {
      ...{ hop: "gateway", case: "no certificate", threat: "T1", expected: "", observed: "" },
      ...{ verdict: "not checked", why: "Nobody signs it.", ok: true, ms: 0 },
    };
    deepEqual(
      [
        await judge({ ...unmade, why: "Nobody signs it." }, ["a"]),
        await judge({ ...line, ready: uncheckable, observe: refused }, ["a"]),
        await judge({ ...line, observe: uncheckable }, ["a"]),
      ],
      [result, result, result],
    );
  });
});
