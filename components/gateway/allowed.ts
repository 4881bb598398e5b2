// Which clients a route answers, as conditions on the certificate that the gateway has verified.

import type { Condition } from "@mtls-everywhere/apisix-admin";
import {
  type Allow,
  type Client,
  type Identity,
  subjectLimit,
  subjectOf,
} from "@mtls-everywhere/vocabulary/identities";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";

/**
 * Conditions that hold for these clients alone, in each of the trust domains. They are judged at every request: a connection that was
 * made while its client was allowed is no exception.
 */
export function allowedBy(clients: readonly Client[], trustDomains: readonly string[]): Condition[] {
  const subjects = identitiesOf(clients, trustDomains).map(subjectOf);
  return [
    ["ssl_client_verify", "==", "SUCCESS"],
    ["ssl_client_s_dn", "in", [...new Set(subjects)].sort()],
  ];
}

/** What a site says about its clients; of any shape, since programs run without a check of their types. */
interface Said {
  readonly allow: unknown;
  readonly clients?: unknown;
  readonly routes: Readonly<Record<string, { readonly allow?: unknown }>>;
}

/** A part of a subject, in which the gateway would write other characters in another form than `subjectOf`. */
const name = z
  .string()
  .max(subjectLimit)
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);
const clientList = z.array(z.strictObject({ namespace: name, serviceAccount: name }));
const allow: z.ZodType<Allow> = z.union([z.literal("every client"), clientList]);

/** Who a server answers that sees the whole subject: these clients, in each of the trust domains, and nobody else. */
export function identitiesOf(clients: readonly Client[], trustDomains: readonly string[]): Identity[] {
  return trustDomains.flatMap((trustDomain) =>
    clients.map(({ namespace, serviceAccount }) => ({ trustDomain, namespace, serviceAccount })),
  );
}

/** @throws RunError unless a server's callers are a list of clients that leaves can name; `where` is the server, in words. */
export function checkCallerList(where: string, said: unknown): void {
  if (clientList.safeParse(said).success) return;
  throw new pulumi.RunError(
    `${where}: its callers are not a list of clients. Set allow to their Kubernetes names, such as ` +
      '[{ namespace: "web", serviceAccount: "cart" }], or leave it out for nobody but the gateway.',
  );
}

/** @throws RunError when a site does not say who may call it and its routes, or could not know them. */
export function checkCallers(site: string, { allow: common, clients, routes }: Said): void {
  const where = `Site "${site}"`;
  const own = Object.entries(routes).flatMap(([id, route]) =>
    route.allow === undefined ? [] : [{ place: `${where}, route "${id}"`, said: route.allow }],
  );
  for (const { place, said } of [{ place: where, said: common }, ...own]) {
    if (!allow.safeParse(said).success) {
      throw new pulumi.RunError(
        `${place}: say who may call it. Set allow to a list of clients by their Kubernetes names, such as ` +
          `[{ namespace: "web", serviceAccount: "cart" }], or to "every client" for all whose certificate it accepts.`,
      );
    }
    if (clients === "anyone" && said !== "every client") {
      throw new pulumi.RunError(
        `${place}: its clients cannot be told apart, since they present no certificate while clients is "anyone". ` +
          'Set allow to "every client", or clients to the trust bundle that their certificates chain to.',
      );
    }
  }
}
