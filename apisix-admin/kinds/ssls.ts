// Certificates: the gateway's own towards clients (server), or the one that it presents to upstreams (client). Taken from a Secret.

import {
  AdminError,
  bundleProblems,
  certificateBlocks,
  coversAll,
  digestOf,
  namesCover,
  neededBlocks,
  notAfter,
  pairProblems,
  Unusable,
  until,
} from "@mtls-everywhere/cluster-access";
import type { ConfigMapKeyRef, LeafRef } from "@mtls-everywhere/vocabulary/references";
import { tlsVersions } from "@mtls-everywhere/vocabulary/tlsPolicy";
import { z } from "zod";

import { type Body, labels } from "../body.ts";
import type { Failure } from "../checks.ts";
import { ownershipOf } from "../ownership.ts";
import { presenters } from "../presenters.ts";
import { leftToRenewer } from "../renewal.ts";
import { defineKind, type Sources } from "./kind.ts";
import { clientsName } from "./names.ts";
import { objectIdentity, isCount, isObject, listOf, oneOf, value } from "./values.ts";

/** TLS 1.1 is left out on purpose, though the gateway would speak it. */
const protocol = oneOf(tlsVersions);
export type TlsProtocol = z.infer<typeof protocol>;

const both = objectIdentity.extend({
  certificate: value<LeafRef>(isObject, () => "Name the Secret that holds the certificate."),
  protocols: z.array(protocol).optional(),
});

const clients = z.union(
  [
    z.literal("anyone"),
    z.object({
      trust: value<ConfigMapKeyRef>(isObject, () => 'Give { trust }, or "anyone".'),
      depth: value<number>(
        isCount,
        (depth) => `A depth must be a whole number of at least 0, not ${String(depth)}.`,
      ).optional(),
    }),
  ],
  {
    error: ({ input }) =>
      input === undefined
        ? 'Say whose client certificates are accepted with { trust }, or "anyone" to ask for none.'
        : 'Give { trust }, or "anyone".',
  },
);

const ofServers = z.undefined('Only a certificate with use: "server" takes this: drop it.').optional();

const schema = z.discriminatedUnion(
  "use",
  [
    both.extend({
      use: z.literal("server"),
      snis: listOf(clientsName, "Name the hosts that this certificate serves."),
      clients,
    }),
    both.extend({ use: z.literal("client"), snis: ofServers, clients: ofServers }),
  ],
  { error: ({ input }) => `"${String((input as Body)["use"])}" is not a valid value: use one of server, client.` },
);
type Spec = z.infer<typeof schema>;

export const ssls = defineKind<Spec>({
  schema,
  defaults: { type: "server", status: 1 },

  async body({ use, certificate, snis, clients, protocols }, sources) {
    const { cert, key } = neededBlocks(await sources.keyPair(certificate));
    const ca = isTrust(clients) ? certificateBlocks(await sources.trustBundle(clients.trust)) : undefined;
    return {
      labels: {
        [labels.certificate]: digestOf(cert),
        ...(ca === undefined ? {} : { [labels.clientTrust]: digestOf(ca) }),
        [labels.secret]: `${certificate.namespace}/${certificate.name}`,
      },
      type: use,
      cert,
      key,
      snis,
      client: isTrust(clients) ? { ca, depth: clients.depth ?? 1 } : undefined,
      ssl_protocols: protocols,
    };
  },

  presentable: withDigests,

  comparable(object) {
    const { labels: all, ...shown } = withDigests(object);
    // The digests in labels say the same as the certificates.
    const { [labels.certificate]: _c, [labels.clientTrust]: _t, ...others } = (all ?? {}) as Body;
    return all === undefined ? shown : { ...shown, labels: others };
  },

  settled: ({ admin, snis = [] }, desired, live) =>
    admin.renews && leftToRenewer(desired, live, snis) ? { ...live, cert: desired["cert"] } : live,

  outputs: ({ cert }) =>
    typeof cert === "string" ? { digest: digestOf(cert), notAfter: notAfter(cert).toISOString() } : {},

  problems: problemsOf,

  clashes: ({ objectId, snis = [] }, others, desired) =>
    others
      .filter(({ type = "server", status = 1 }) => type === "server" && status === 1)
      .flatMap((other) => clashesWith(other, `ssls/${objectId}`, snis, desired)),

  async beforePut(spec, sources) {
    await reissue(spec.certificate, sources);
    // What is put now must cover the SNIs with its own names, not with the declared ones.
    const { namespace, name } = spec.certificate;
    const failures = await problemsOf({ ...spec, certificate: { namespace, name } }, sources);
    if (failures.length > 0)
      throw new Error(`ssls/${spec.objectId}: ${failures.map(({ reason }) => reason).join(" ")}`);
  },

  /** The server would delete a certificate that upstreams still present. */
  async beforeDelete(id, referrers) {
    const users = await presenters(id, referrers);
    if (users.length === 0) return;
    throw new AdminError(
      400,
      `ssls/${id}`,
      `is still presented by ${users.join(", ")}`,
      "Give them another client certificate, or delete them first.",
    );
  },
});

/** Which of two objects for the same name APISIX serves is up to chance; of a wildcard and a name it is the name, until that is deleted. */
function clashesWith(other: Body, own: string, snis: readonly string[], desired: Body | undefined): Failure[] {
  const theirs = Array.isArray(other["snis"]) ? other["snis"].map(String) : [];
  const { owner = "an unknown owner" } = ownershipOf(other);
  const whose = `ssls/${String(other["id"])} of ${owner}`;
  const otherClients = desired !== undefined && clientsOf(desired) !== clientsOf(other);
  return snis.flatMap((name) =>
    theirs.flatMap((their) => {
      const same = name.toLowerCase() === their.toLowerCase();
      const overlap = same || namesCover([name], their) || namesCover([their], name);
      if (!overlap || !(same || otherClients)) return [];
      const reason = same
        ? `${own}: "${name}" is already served by ${whose}.`
        : `${own}: "${name}" overlaps "${their}" of ${whose}, which accepts other clients.`;
      return [{ property: "snis", reason: `${reason} Remove the name from one of them: APISIX would serve either.` }];
    }),
  );
}

/** Whose certificates an object asks clients for. */
function clientsOf({ client }: Body): string {
  return client === undefined ? "anyone" : fingerprint((client as Body)["ca"]);
}

/** Digests in place of certificates, and no key: it is returned encrypted or not at all, and a new key comes with a new certificate. */
function withDigests({ cert, key: _key, keys: _keys, client, ...object }: Body): Body {
  const trust = client as Body | undefined;
  return {
    ...object,
    cert: fingerprint(cert),
    ...(trust && { client: { depth: 1, ...trust, ca: fingerprint(trust["ca"]) } }),
  };
}

function fingerprint(pem: unknown): string {
  try {
    return `sha256:${digestOf(String(pem))}`;
  } catch {
    return "unreadable";
  }
}

function isTrust(clients: Spec["clients"]) {
  return clients !== undefined && clients !== "anyone";
}

/** Silent while the Secret has yet to be issued. */
async function problemsOf({ admin, certificate, snis = [], clients }: Spec, sources: Sources): Promise<Failure[]> {
  const { dnsNames } = certificate;
  const undeclared = dnsNames ? snis.filter((name) => !namesCover(dnsNames, name)) : [];
  if (undeclared.length > 0) {
    return undeclared.map((name) => ({
      property: "snis",
      reason: `The Certificate of Secret ${certificate.namespace}/${certificate.name} does not declare ${name}. Add it to the Certificate's dnsNames, or remove it from snis.`,
    }));
  }
  try {
    await sources.expect(admin.cluster);
    const live = await sources.keyPair(certificate);
    // A leaf without its declared names is about to be reissued: its old names mean nothing.
    const pair = pairProblems(live, coversAll(live.cert, dnsNames ?? []) ? snis : []);
    const failures = pair.map((problem) => ({
      property: "certificate",
      reason: `Secret ${certificate.namespace}/${certificate.name}: ${problem} Correct the Certificate that issues it, or name another Secret.`,
    }));
    if (!isTrust(clients)) return failures;
    const { namespace, name } = clients.trust;
    const bundle = bundleProblems(await sources.trustBundle(clients.trust));
    return [
      ...failures,
      ...bundle.map((problem) => ({
        property: "clients",
        reason: `ConfigMap ${namespace}/${name}: ${problem} Remove it from the bundle, or name another ConfigMap.`,
      })),
    ];
  } catch (error) {
    return error instanceof Unusable ? [{ property: "admin", reason: error.message }] : [];
  }
}

/** Milliseconds that a leaf whose declared names have changed may take to be reissued. */
const reissueTime = 30_000;

/** Waits until the Secret holds the declared leaf: cert-manager is still issuing it when the same update changed its names. */
async function reissue(certificate: LeafRef, sources: Sources): Promise<void> {
  const { dnsNames = [] } = certificate;
  // If it does not come, the checks that follow say what is wrong.
  await until(async () => coversAll((await sources.keyPair(certificate)).cert, dnsNames), { within: reissueTime });
}
