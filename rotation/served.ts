// Which generation's leaf a pod's port really serves: by a handshake, without a certificate of one's own.

import type { X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";

import type { Plane } from "@mtls-everywhere/vocabulary/planes";
import type { PodPort } from "@mtls-everywhere/vocabulary/references";

/** What is needed of a cluster; `Cluster` of apisix-admin has it. */
export interface PodAccess {
  open(to: Omit<PodPort, "serverName"> & { readonly pod?: string }, signal?: AbortSignal): Promise<Duplex>;
}

/** One port of one pod. */
export interface PodSocket {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
  /** SNI; none unless given. */
  readonly serverName?: string | undefined;
}

/** The trusted roots, by plane and generation. */
export type Certificates = Readonly<Partial<Record<Plane, Readonly<Record<string, readonly X509Certificate[]>>>>>;

/** Milliseconds between two tries. */
const pause = 200;

/**
 * The chain that a port serves, the leaf first. Another try within the deadline, in milliseconds, when a tunnel breaks: that says
 * nothing of the server.
 * @throws when nothing answers with a certificate.
 */
export async function servedChain(
  access: PodAccess,
  at: PodSocket,
  deadline: number,
): Promise<readonly X509Certificate[]> {
  const signal = AbortSignal.timeout(deadline);
  for (;;) {
    try {
      return await handshake(access, at, signal);
    } catch (error) {
      if (signal.aborted || !(error as NodeJS.ErrnoException).code?.startsWith("ECONN")) throw error;
      await sleep(pause);
    }
  }
}

async function handshake(access: PodAccess, at: PodSocket, signal: AbortSignal): Promise<readonly X509Certificate[]> {
  const { namespace, pod, port, serverName } = at;
  const socket = await access.open({ namespace, selector: "", port, pod }, signal);
  return new Promise((resolve, reject) => {
    const secure = tls.connect(
      {
        socket,
        ...(serverName === undefined ? {} : { servername: serverName }),
        // Nothing is asked of it: whose leaf it is, is judged by the roots, and also an expired one is one.
        rejectUnauthorized: false,
        // Up to 1.2 a server that asks for a certificate ends the handshake before a client without one has seen its own.
        minVersion: "TLSv1.3",
      },
      () => {
        const chain: X509Certificate[] = [];
        for (let next = secure.getPeerX509Certificate(); next; next = next.issuerCertificate) chain.push(next);
        secure.destroy();
        if (chain.length > 0) resolve(chain);
        else reject(new Error("it showed no certificate"));
      },
    );
    secure.on("error", reject);
    secure.on("close", () => reject(Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" })));
    signal.addEventListener("abort", () => {
      secure.destroy();
      reject(new Error("no answer in time"));
    });
  });
}

/** The generation whose root a chain leads to; nothing when it is none of these. */
export function generationOf(
  chain: readonly X509Certificate[],
  roots: Readonly<Record<string, readonly X509Certificate[]>>,
): string | undefined {
  for (const [index, certificate] of chain.entries()) {
    const found = Object.entries(roots).find(([, own]) => own.some((root) => signed(certificate, root)));
    if (found) return found[0];
    const issuer = chain[index + 1];
    if (!issuer || !signed(certificate, issuer)) return undefined;
  }
  return undefined;
}

function signed(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
