// Lists of the clients that a server answers, as programs write them.

import { subjectLimit } from "@mtls-everywhere/vocabulary/identities";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";

/** A part of a subject, in which servers would write other characters in another form than `subjectOf`. */
const name = z
  .string()
  .max(subjectLimit)
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);

/** Clients that leaves can name. */
export const clientList = z.array(z.strictObject({ namespace: name, serviceAccount: name }));

/** @throws RunError unless a server's callers are a list of clients that leaves can name; `where` is the server, in words. */
export function checkCallerList(where: string, said: unknown): void {
  if (clientList.safeParse(said).success) return;
  throw new pulumi.RunError(
    `${where}: its callers are not a list of clients. Set allow to their Kubernetes names, such as ` +
      '[{ namespace: "web", serviceAccount: "cart" }], or leave it out for nobody but the gateway.',
  );
}
