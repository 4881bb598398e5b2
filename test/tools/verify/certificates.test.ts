// Leaves issued through CertificateRequests, against an API server that plays cert-manager.

import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { KubeConfig } from "@kubernetes/client-node";

import { type LeafOrder, leftoverAge, lifetimeOf, RequestedCertificates } from "../../../tools/verify/certificates.ts";
import { Uncheckable } from "../../../tools/verify/unchecked.ts";
import { Authority } from "../../support/authorities.ts";

interface Stored {
  metadata: { name: string; creationTimestamp: string; labels: Record<string, string> };
  spec: { request: string; [field: string]: unknown };
  status?: object;
}

const order: LeafOrder = {
  issuer: { plane: "edge", kind: "ClusterIssuer", name: "mtls-edge", group: "cert-manager.io" },
  identity: { trustDomain: "dev", namespace: "mtls", serviceAccount: "verify" },
  subject: true,
  dnsNames: ["verify.invalid"],
  usages: ["client auth", "server auth"],
  lifetime: 5,
};
const anywhere = new AbortController().signal;

describe("leaves for the checks", () => {
  const requests = new Map<string, Stored>();
  const bodies: object[] = [];
  let server: Server;
  let certificates: RequestedCertificates;
  /** How cert-manager responds to a request; undefined if it has not looked at it. */
  let answer: (request: Stored) => Promise<object | undefined>;
  /** A refusal by the API server itself. */
  let refusal: { code: number; message: string } | undefined;

  before(async () => {
    server = createServer((incoming, response) => {
      let text = "";
      incoming.on("data", (chunk) => (text += chunk));
      incoming.on("end", () => {
        const send = (status: number, body: object) =>
          response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
        void (async () => {
          if (refusal) return send(refusal.code, { kind: "Status", message: refusal.message });
          const name = /certificaterequests\/([^?]+)/.exec(incoming.url ?? "")?.[1];
          if (incoming.method === "POST") {
            const request = JSON.parse(text) as Stored;
            bodies.push(structuredClone(request));
            request.metadata.creationTimestamp = new Date().toISOString();
            requests.set(request.metadata.name, request);
            return send(201, request);
          }
          if (name === undefined) return send(200, { items: [...requests.values()] });
          const request = requests.get(name);
          if (!request) return send(404, { message: `certificaterequests "${name}" not found` });
          if (incoming.method === "DELETE") requests.delete(name);
          const status = await answer(request);
          return send(200, { ...request, ...(status ? { status } : {}) });
        })();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  after(() => server.close().closeAllConnections());

  beforeEach(() => {
    requests.clear();
    bodies.length = 0;
    refusal = undefined;
    answer = async () => undefined;
    const config = new KubeConfig();
    config.loadFromOptions({
      clusters: [
        { name: "c", server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, skipTLSVerify: true },
      ],
      users: [{ name: "u" }],
      contexts: [{ name: "c", cluster: "c", user: "u" }],
      currentContext: "c",
    });
    certificates = new RequestedCertificates(config, "mtls", 2_000);
  });

  it("are requested with identity and lifetime, and come with the key that was generated here", async () => {
    const authority = await Authority.create("edge");
    answer = async ({ spec }) => {
      const cert = await authority.sign(Buffer.from(spec.request, "base64").toString(), order.lifetime * 1_000);
      return {
        certificate: Buffer.from(cert).toString("base64"),
        conditions: [{ type: "Ready", status: "True" }],
      };
    };
    const leaf = await certificates.issue(order, anywhere);

    const certificate = new X509Certificate(leaf.cert);
    deepEqual(
      [
        certificate.subject,
        certificate.subjectAltName,
        certificate.checkPrivateKey(createPrivateKey(leaf.key)),
        lifetimeOf(leaf),
      ],
      ["O=dev\nOU=mtls\nCN=verify", "DNS:verify.invalid, URI:spiffe://dev/ns/mtls/sa/verify", true, 5_000],
    );
    const [{ metadata, spec }] = bodies as [Stored];
    match(metadata.name, /^verify-edge-[0-9a-f]{8}$/);
    deepEqual(metadata.labels, { "mtls-everywhere.verify": "true" });
    deepEqual(
      { ...spec, request: "" },
      {
        request: "",
        duration: "5s",
        usages: ["digital signature", "client auth", "server auth"],
        issuerRef: { group: "cert-manager.io", kind: "ClusterIssuer", name: "mtls-edge" },
      },
    );

    const nameless = await certificates.issue({ ...order, subject: false }, anywhere);
    equal(new X509Certificate(nameless.cert).subject, undefined);
    equal(requests.size, 2);
    await certificates.remove();
    equal(requests.size, 0);
  });

  it("are not awaited once cert-manager has refused", async () => {
    answer = async () => ({
      conditions: [{ type: "Ready", status: "False", reason: "Failed", message: "CA key is gone." }],
    });
    await rejects(certificates.issue(order, anywhere), {
      message:
        "ClusterIssuer mtls-edge did not sign a certificate for the checks: CA key is gone. " +
        "Look at: kubectl -n mtls describe clusterissuer mtls-edge",
    });
  });

  it("cannot be had where somebody denies them", async () => {
    answer = async () => ({
      conditions: [
        { type: "Denied", status: "True", reason: "policy.cert-manager.io", message: "No policy approved it." },
        { type: "Ready", status: "False", reason: "Denied" },
      ],
    });
    await rejects(
      certificates.issue(order, anywhere),
      new Uncheckable("A leaf of the edge plane was denied: No policy approved it."),
    );
  });

  it("are given up after a while, with cert-manager's last message", async () => {
    answer = async () => ({
      conditions: [{ type: "Ready", status: "False", reason: "Pending", message: "Referenced issuer not found." }],
    });
    await rejects(certificates.issue(order, anywhere), {
      message:
        "ClusterIssuer mtls-edge did not sign a certificate for the checks within 2 s: Referenced issuer not found. " +
        "Look at: kubectl -n mtls describe clusterissuer mtls-edge",
    });
  });

  it("say what to grant if they may not be requested", async () => {
    refusal = { code: 403, message: 'certificaterequests.cert-manager.io is forbidden: User "ci" cannot create.' };
    await rejects(certificates.issue(order, anywhere), {
      message:
        "The checks request short-lived client certificates from cert-manager, which the kubeconfig's user may not: " +
        'certificaterequests.cert-manager.io is forbidden: User "ci" cannot create. ' +
        "Grant create, get, list and delete on certificaterequests.cert-manager.io in namespace mtls.",
    });
  });

  it("leave only what a parallel run may still need", async () => {
    for (const [name, age] of [
      ["killed", leftoverAge + 60_000],
      ["running", 60_000],
    ] as const) {
      const creationTimestamp = new Date(Date.now() - age).toISOString();
      requests.set(name, { metadata: { name, creationTimestamp, labels: {} }, spec: { request: "" } });
    }
    await certificates.remove();
    deepEqual([...requests.keys()], ["running"]);
  });
});
