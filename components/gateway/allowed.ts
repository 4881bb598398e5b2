// Which clients a route answers, as conditions on the certificate that the gateway has verified.

import type { Condition } from "@mtls-everywhere/apisix-admin";
import { type Allow, type Client, identitiesOf, subjectOf } from "@mtls-everywhere/vocabulary/identities";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";

import { clientList } from "../callers.ts";

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

const allow: z.ZodType<Allow> = z.union([z.literal("every client"), clientList]);

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
