// The bad certificates and other wrong clients as values: each turns the right client's question into its own.

import { certificatesOf, type ClientTls, type KeyPair, type Request } from "@mtls-everywhere/cluster-access";
import { type Plane, planes } from "@mtls-everywhere/vocabulary/planes";
import type { OnePodPort } from "@mtls-everywhere/vocabulary/references";
import type { TlsVersion } from "@mtls-everywhere/vocabulary/tlsPolicy";

import { clientLeaf, type Material } from "../material.ts";
import { forged } from "../selfSigned.ts";
import { Uncheckable } from "../unchecked.ts";
import type { Server } from "./servers.ts";

/** What a client presents, whom it trusts, and what it asks where. */
export interface Question {
  readonly to: OnePodPort;
  readonly client: ClientTls;
  readonly request: Request;
}

/** What a client does otherwise than the right one. */
export type Try = (right: Question, server: Server, material: Material) => Question | Promise<Question>;

/** The right client, at one pod of its server. */
export async function rightQuestion(server: Server, to: OnePodPort, material: Material): Promise<Question> {
  const client = { ca: server.roots(material), pair: await server.pair(material) };
  return { to, client, request: server.request(material) };
}

export const right: Try = (question) => question;

export const noCertificate: Try = ({ client: { pair: _none, ...client }, ...question }) => ({ ...question, client });

export const expired: Try = presenting((material, { plane }) => material.leaves.of("expired", plane));

/** The right client's certificate, but for who signed it. */
export const selfSigned: Try = presenting(async (material, server) => forged(await server.pair(material)));

export const serversOnly: Try = presenting((material, { plane }) => material.leaves.of("server", plane));

export const anotherIdentity: Try = presenting((material, { plane }) => material.leaves.of("client", plane));

export const ofPlane = (plane: Plane): Try => presenting((material) => clientLeaf(material, plane));

export const incompleteChain: Try = presenting(async (material, server) => {
  const { cert, key } = await server.pair(material);
  const [leaf, ...above] = certificatesOf(cert);
  if (above.length === 0) throw new Uncheckable("The root signs leaves itself: there is no intermediate to leave out.");
  return { cert: leaf!.toString(), key };
});

export const anotherName: Try = (question) => ({
  ...question,
  to: { ...question.to, serverName: "not-served.invalid" },
});

export const noName: Try = (question) => ({ ...question, to: { ...question.to, serverName: "" } });

export const anotherHost: Try = ({ request, ...question }) => ({
  ...question,
  request: { ...request, headers: { ...request.headers, host: "not-served.invalid" } },
});

export const trustingOthers: Try = ({ client, ...question }, { plane }, { roots }) => {
  const others = planes.filter((other) => other !== plane);
  return { ...question, client: { ...client, ca: others.map((other) => roots[other]).join("\n") } };
};

/** The same with one version of TLS. */
export const over =
  (version: TlsVersion, attempt: Try): Try =>
  async (...given) => {
    const { client, ...question } = await attempt(...given);
    return { ...question, client: { ...client, minVersion: version, maxVersion: version } };
  };

/** OpenSSL offers what is this old or weak only at its lowest security level. */
const anything = "@SECLEVEL=0";

export const oldVersion: Try = ({ client, ...question }) => ({
  ...question,
  client: { ...client, minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: `ALL:${anything}` },
});

/** Without authenticated encryption, and the last two without forward secrecy either. */
const weakSuites = ["ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "AES128-SHA", "AES256-SHA256"];

export const weakSuite: Try = ({ client, ...question }) => ({
  ...question,
  client: { ...client, maxVersion: "TLSv1.2", ciphers: [...weakSuites, anything].join(":") },
});

function presenting(pairOf: (material: Material, server: Server) => Promise<KeyPair>): Try {
  return async ({ client, ...question }, server, material) => ({
    ...question,
    client: { ...client, pair: await pairOf(material, server) },
  });
}
