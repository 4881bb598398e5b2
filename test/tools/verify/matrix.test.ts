// The refusal matrix as it is planned: every line, what it expects, and what is left out and why.

import { deepEqual, equal, ok } from "node:assert/strict";

import { expectedText, type Line } from "../../../tools/verify/check.ts";
import { linesOf } from "../../../tools/verify/matrix/lines.ts";
import { outputs } from "../../support/outputs.ts";

const lines = linesOf(outputs);
const nameOf = ({ hop, case: name }: Line) => `${hop}: ${name}`;

describe("the refusal matrix", () => {
  it("names each line once, and has at least 120 that are checked", () => {
    const checked = lines.filter((line) => "expect" in line);
    equal(new Set(lines.map(nameOf)).size, lines.length);
    ok(checked.length >= 120, `${checked.length} lines`);
  });

  it("expects an answer of the right client alone", () => {
    const answered = lines.filter(
      (line) => "expect" in line && line.expect.some((one) => one.kind === "answer" && one.status < 400),
    );
    const right = ["TLS 1.3", "TLS 1.2"].map((version) => `right certificate, ${version}`);
    deepEqual(answered.map(nameOf), [
      ...["gateway", "Admin API", "etcd"].flatMap((hop) => right.map((name) => `${hop}: ${name}`)),
      "etcd: APISIX's leaf and password, own prefix",
      ...["etcd peers", "upstream"].flatMap((hop) => right.map((name) => `${hop}: ${name}`)),
      "gateway to upstream: server with the right name and plane",
      "gateway to upstream: client's own word for who it is",
    ]);
  });

  it("tries what is wrong with a certificate at every server, or says why not", () => {
    const ofServers = (name: string) =>
      Object.fromEntries(
        lines
          .filter((line) => line.case === name)
          .map((line) => [line.hop, "why" in line ? "not checked" : expectedText(line.expect)]),
      );
    const page = "400 The SSL certificate error";
    const unsigned = {
      gateway: "alert unknown_ca (48)",
      "Admin API": page,
      etcd: "alert unknown_ca (48)",
      "etcd peers": "alert unknown_ca (48)",
      upstream: page,
    };
    const { "etcd peers": _own, ...others } = unsigned;
    deepEqual(
      {
        missing: ofServers("no certificate, TLS 1.2"),
        expired: ofServers("expired certificate, TLS 1.3"),
        forged: ofServers("self-signed certificate, TLS 1.3"),
        usage: ofServers("certificate for servers, TLS 1.3"),
        plane: ofServers("certificate of the etcd-peer plane, TLS 1.3"),
        chain: ofServers("certificate without its intermediate"),
        identity: ofServers("certificate of another identity, TLS 1.3"),
        early: ofServers("certificate that is not valid yet"),
      },
      {
        missing: {
          gateway: "alert handshake_failure (40)",
          "Admin API": "400 No required SSL certificate was sent",
          etcd: "alert handshake_failure (40)",
          "etcd peers": "alert handshake_failure (40)",
          upstream: "400 No required SSL certificate was sent",
        },
        expired: {
          gateway: "alert certificate_expired (45)",
          "Admin API": page,
          etcd: "alert certificate_expired (45)",
          "etcd peers": "alert certificate_expired (45)",
          upstream: page,
        },
        forged: unsigned,
        usage: {
          gateway: "alert unsupported_certificate (43) or alert bad_certificate (42)",
          "Admin API": page,
          etcd: "alert bad_certificate (42)",
          "etcd peers": "alert bad_certificate (42)",
          upstream: page,
        },
        plane: others,
        chain: unsigned,
        identity: {
          ...Object.fromEntries(Object.keys(unsigned).map((hop) => [hop, "not checked"])),
          ...{ "Admin API": "403", upstream: "403" },
        },
        early: Object.fromEntries(Object.keys(unsigned).map((hop) => [hop, "not checked"])),
      },
    );
  });

  it("takes an Admin API whose outputs name no clients for one that admits every client of its plane", () => {
    const { adminClients: _, ...older } = outputs;
    const line = (of: typeof older) =>
      linesOf(of).find(({ hop, case: name }) => hop === "Admin API" && name.startsWith("certificate of another id"))!;
    deepEqual(["why" in line(older), "why" in line(outputs)], [true, false]);
  });

  it("takes a host whose configuration does not say who may call for one that admits every client", () => {
    const open = linesOf({ ...outputs, clients: { certificates: outputs.clients?.certificates ?? [] } });
    const [another] = open.filter(
      ({ hop, case: name }) => hop === "gateway" && name === "certificate of another identity, TLS 1.3",
    );
    ok(another && "why" in another);
  });

  it("gives a whole sentence as the reason for what it does not check", () => {
    const reasons = new Set(lines.flatMap((line) => ("why" in line ? [line.why] : [])));
    deepEqual(
      [...reasons].filter((why) => !/^(?:[A-Z]|etcd |cert-manager ).* .*\.$/.test(why)),
      [],
    );
    ok(reasons.size > 0);
  });
});
